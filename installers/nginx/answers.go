package nginx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"edge"
	"edge/installers"
	"edge/installers/answer"
	"edge/installers/nginx/conf"
)

// The files of certbot for challenges, in its folder.
const (
	http01File = "le_http_01_cert_challenge.conf"
	sni01File  = "le_tls_sni_01_cert_challenge.conf"
)

// answerer makes the plan for one batch.
type answerer struct {
	*Nginx
	o           AuthenticatorOptions
	http, https uint16
	site        *site
	http01      []edge.Answer
	sni01       []answer.SNI01

	// blocks are the server blocks that answer, with what; in the order of blockList.
	blocks    map[*conf.Server][]edge.Answer
	blockList []*conf.Server
	copied    []edge.Answer // answered by a copy of original
	original  *conf.Server
	generated []edge.Answer // answered by blocks of their own
}

// checkAnswer refuses what nginx cannot answer.
func checkAnswer(one edge.Answer, o AuthenticatorOptions) error {
	if err := answer.Check("nginx", one, o); err != nil {
		return err
	}
	if name := one.Identifier.Value; !validHost(name) {
		return fmt.Errorf("%q is not a name that nginx can be asked for", name)
	}
	return nil
}

// planAnswers says what has to be changed so that nginx gives the answers.
func (n *Nginx) planAnswers(ctx context.Context, batch []edge.Answer, o AuthenticatorOptions) (*installers.Plan, error) {
	a := &answerer{Nginx: n, o: o, http: cmp.Or(o.HTTPPort, 80), https: cmp.Or(o.HTTPSPort, 443), blocks: map[*conf.Server][]edge.Answer{}}
	for _, one := range batch {
		if err := checkAnswer(one, o); err != nil {
			return nil, err
		}
		if one.Type == edge.HTTP01 {
			a.http01 = append(a.http01, one)
			continue
		}
		sni, err := answer.NewSNI01(one)
		if err != nil {
			return nil, err
		}
		a.sni01 = append(a.sni01, sni)
	}
	var err error
	if a.site, err = n.load(ctx); err != nil {
		return nil, err
	}
	return a.planOn()
}

func (a *answerer) planOn() (*installers.Plan, error) {
	for _, answer := range a.http01 {
		if err := a.pick(answer); err != nil {
			return nil, err
		}
	}
	after, err := a.edit()
	if err != nil {
		return nil, err
	}
	// certbot's choice is not always nginx's: where another block answers, it is given
	// the answer as well.
	if a.complete(after) {
		if after, err = a.edit(); err != nil {
			return nil, err
		}
	}
	return a.plan(after)
}

// pick decides who answers for a name: every block that has the name, else a copy of
// the default block of the port, else a block of its own.
func (a *answerer) pick(answer edge.Answer) error {
	name := answer.Identifier.Value
	var servers []*conf.Server
	ranked, err := a.site.http.Rank(name)
	var undecided *conf.UndecidedError
	switch {
	case errors.As(err, &undecided):
		servers = undecided.Candidates // each may be the one
	case err != nil:
		return err
	}
	for _, r := range ranked {
		servers = append(servers, r.Server)
	}
	plain := false
	for _, s := range servers {
		switch {
		case plainOn(a.site.http, s, a.http):
			plain = true
			a.give(s, answer)
		case tlsOn(a.site.http, s, a.https): // where redirects lead
			a.give(s, answer)
		}
	}
	if plain {
		return nil
	}
	if s := defaultServer(a.site.http, a.http, false); s != nil && plainOn(a.site.http, s, a.http) {
		a.original, a.copied = s, append(a.copied, answer)
	} else {
		a.generated = append(a.generated, answer)
	}
	return nil
}

func tlsOn(h *conf.HTTP, s *conf.Server, port uint16) bool {
	return slices.ContainsFunc(sockets(h, s), func(socket *conf.Socket) bool {
		return socket.Unix == "" && socket.Addr.Port() == port && socket.TLS()
	})
}

func (a *answerer) give(s *conf.Server, answer edge.Answer) {
	have, ok := a.blocks[s]
	if !ok {
		a.blockList = append(a.blockList, s)
	}
	if !slices.Contains(have, answer) {
		a.blocks[s] = append(have, answer)
	}
}

// asked are the plain sockets where the CA may arrive.
func (a *answerer) asked(h *conf.HTTP) []*conf.Socket {
	return slices.DeleteFunc(slices.Clone(h.Sockets), func(s *conf.Socket) bool {
		return s.QUIC || s.Unix != "" || s.Addr.Port() != a.http || s.TLS()
	})
}

// complete finds sockets where a block without the answer would answer, gives it to
// that block, and reports whether there were any.
func (a *answerer) complete(after *site) bool {
	more := false
	for _, answer := range a.http01 {
		for _, then := range a.asked(after.http) {
			now := a.site.http.Socket(then.Addr)
			if now == nil || answers(chosen(after.http, then, answer), answer) {
				continue
			}
			for _, s := range chosen(a.site.http, now, answer) {
				a.give(s, answer)
				more = true
			}
		}
	}
	return more
}

// chosen are the blocks of which nginx lets one answer: one, where that can be told.
func chosen(h *conf.HTTP, s *conf.Socket, answer edge.Answer) []*conf.Server {
	c, err := h.ChooseOn(s, answer.Identifier.Value)
	var undecided *conf.UndecidedError
	if errors.As(err, &undecided) {
		return undecided.Candidates
	}
	if err != nil {
		return nil
	}
	return []*conf.Server{c.Server}
}

// answers says whether all blocks have the answer.
func answers(servers []*conf.Server, answer edge.Answer) bool {
	return len(servers) > 0 && !slices.ContainsFunc(servers, func(s *conf.Server) bool {
		return !slices.ContainsFunc(s.Own("location"), func(d *conf.Directive) bool {
			return slices.Equal(d.Values(), []string{"=", edge.HTTP01Prefix + answer.Token})
		})
	})
}

// edit returns the configuration with the answers in it.
func (a *answerer) edit() (*site, error) {
	e := &conf.Edits{}
	for _, s := range a.blockList {
		insertAnswers(e, s, a.blocks[s])
	}
	if len(a.copied) > 0 {
		e.Duplicate(a.original.Directive, func(inner *conf.Edits) {
			stripListens(a.original, inner, nil)
			var names []string
			for _, answer := range a.copied {
				names = append(names, answer.Identifier.Value)
			}
			renameTo(a.original, names, inner)
			insertAnswers(inner, a.original, a.copied)
		})
	}
	if err := a.challengeFiles(e); err != nil {
		return nil, err
	}
	return a.with(a.site, e)
}

// insertAnswers makes a block answer, before whatever else it does with requests.
func insertAnswers(e *conf.Edits, s *conf.Server, answers []edge.Answer) {
	e.InsertFirst(s.Directive.Block, "rewrite ^(/.well-known/acme-challenge/.*) $1 break;"+managed)
	for _, answer := range answers {
		e.InsertLast(s.Directive.Block, location(answer)+managed)
	}
}

func location(answer edge.Answer) string {
	return fmt.Sprintf("location = %s%s{default_type text/plain;return 200 %s;}", edge.HTTP01Prefix, answer.Token, answer.KeyAuth)
}

// challengeFiles adds the blocks that are for challenges alone, and makes room for long
// names.
func (a *answerer) challengeFiles(e *conf.Edits) error {
	var http *conf.Directive
	for d := range a.site.set.Directives(a.site.set.Main.Root) {
		if d.Name() == "http" && d.Block != nil {
			http = d
			break
		}
	}
	if http == nil {
		return certbotError("Certbot could not find a block to include challenges in %s.", a.conf)
	}
	a.bucket(e, http)
	for _, f := range []struct{ name, text string }{{http01File, a.http01Blocks()}, {sni01File, a.sni01Blocks()}} {
		if f.text == "" {
			continue
		}
		path := filepath.Join(a.o.ConfigDir, f.name)
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s is there already: a run that was not cleaned up left it; remove it", path)
		}
		e.NewFile(path, f.text)
		// certbot includes it first. The first block of a socket is its default, if none says
		// that it is: visitors would get a page of ours.
		e.InsertLast(http.Block, conf.Line("include", path))
	}
	return nil
}

const bucketSize = 128

// bucket raises the size that limits the length of names, where it is lower.
func (a *answerer) bucket(e *conf.Edits, http *conf.Directive) {
	const name = "server_names_hash_bucket_size"
	for d := range a.site.set.Directives(http.Block) {
		if d.Name() != name || len(d.Args()) != 1 {
			continue
		}
		if size, err := strconv.Atoi(d.Args()[0].Value); err == nil && size < bucketSize {
			e.ReplaceWord(d, 1, strconv.Itoa(bucketSize))
		}
		return
	}
	e.InsertFirst(http.Block, conf.Line(name, strconv.Itoa(bucketSize)))
}

// http01Blocks are those of names that no block has.
func (a *answerer) http01Blocks() string {
	text := ""
	for i, answer := range a.generated {
		text += "server {\n"
		for _, l := range a.defaultListens(a.http, i == 0) {
			text += "    " + l + "\n"
		}
		text += "    " + conf.Line("server_name", answer.Identifier.Value) + "\n"
		// Whatever else is asked for is not there.
		text += "    " + conf.Line("root", filepath.Join(a.o.WorkDir, "http_01_nonexistent")) + "\n"
		text += "    " + location(answer) + "\n}\n"
	}
	return text
}

// defaultListens are for all addresses of the families that nginx uses. Options of a
// socket are said once.
func (a *answerer) defaultListens(port uint16, first bool, more ...string) []string {
	out := []string{conf.Line("listen", append([]string{strconv.Itoa(int(port))}, more...)...)}
	v6 := func(s *conf.Socket) bool { return s.Addr.IsValid() && s.Addr.Addr().Is6() }
	if !slices.ContainsFunc(a.site.http.Sockets, v6) {
		return out
	}
	args := append([]string{fmt.Sprintf("[::]:%d", port)}, more...)
	if only := ipv6only(a.site.http, anyIPv6, port); only != "" && first {
		args = append(args, only)
	}
	return append(out, conf.Line("listen", args...))
}

// plan is what was edited, and what then has to be answered.
func (a *answerer) plan(after *site) (*installers.Plan, error) {
	if err := a.checkNewSockets(a.site, after); err != nil {
		return nil, err
	}
	p := &installers.Plan{Titles: []string{"HTTP Challenge"}, Changes: a.sni01Files()}
	p.Changes = append(p.Changes, changesOf(after.set)...)
	for _, answer := range a.http01 {
		asked := 0
		for _, s := range a.asked(after.http) {
			if !answers(chosen(after.http, s, answer), answer) {
				return nil, fmt.Errorf("on %s, nginx would not let a server block with the answer for %s answer", s, answer.Identifier.Value)
			}
			addr, ok := reach(s, after.http)
			if !ok {
				if reachable(s) {
					p.Warnings = append(p.Warnings, fmt.Sprintf("%s cannot be asked for the answer for %s: no address of the loopback arrives there", s, answer.Identifier.Value))
				}
				continue
			}
			asked++
			p.Checks = append(p.Checks, installers.HTTPCheck{
				Addr: addr, Host: answer.Identifier.Value, Path: edge.HTTP01Prefix + answer.Token, ProxyProtocol: s.ProxyProtocol,
				WantStatus: []int{200}, WantBody: answer.KeyAuth,
			})
		}
		if asked == 0 {
			return nil, fmt.Errorf("nginx listens nowhere on port %d that could be asked for the answer for %s", a.http, answer.Identifier.Value)
		}
	}
	p.Serves = a.sni01Endpoints(after)
	return p, nil
}
