package s3front

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"edge/installers/api"
	"edge/installers/target"
)

// service is one service of AWS, in one region.
type service struct {
	name, region string
	env          *target.Env
	creds        *chain
	client       *api.Client
}

// newService makes a service that is at base.
func newService(o *Options, creds *chain, name, region, base string) (*service, error) {
	s := &service{name: name, region: region, env: o.Env, creds: creds}
	var err error
	s.client, err = o.Env.API(api.Options{Base: base, Roots: o.Roots, Sign: s.sign, AllowHTTP: true, Timeout: o.Timeout})
	return s, err
}

func (s *service) sign(r *http.Request, body []byte) error {
	c, err := s.creds.get(r.Context())
	if err == nil {
		sign(r, body, c, scope{s.region, s.name, s.env.Now()})
	}
	return err
}

// failure is what a service says in the place of yes.
type failure struct {
	service, asked string
	status         int
	code, message  string
	header         http.Header
}

func (f *failure) Error() string {
	says := fmt.Sprintf("%s %s: %s (%d)", f.service, f.asked, cmp.Or(f.code, http.StatusText(f.status), "refused"), f.status)
	if f.message != "" {
		says += ": " + f.message
	}
	return says
}

// is reports whether an error is a failure with one of the codes.
func is(err error, codes ...string) bool {
	var f *failure
	return errors.As(err, &f) && slices.Contains(codes, f.code)
}

// do makes a request; asked is its name in AWS's documentation. What AWS is too busy for
// is asked again.
func (s *service) do(ctx context.Context, asked string, r api.Request) (*api.Response, error) {
	for try := 1; ; try++ {
		resp, err := s.client.Do(ctx, r)
		if err == nil {
			return resp, nil
		}
		err = s.explain(asked, err)
		if try == 4 || !is(err, "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestInProgressException") {
			return nil, err
		}
		if err := s.env.Pause(ctx, time.Duration(try)*time.Second); err != nil {
			return nil, err
		}
	}
}

// explain takes an error of the client's apart. AWS quotes what was signed where a
// signature is wrong, and the session token is a part of that.
func (s *service) explain(asked string, err error) error {
	var status *api.StatusError
	if !errors.As(err, &status) {
		return fmt.Errorf("%s %s: %w", s.name, asked, err)
	}
	f := &failure{service: s.name, asked: asked, status: status.Status, header: status.Header}
	f.code, f.message = parseFailure(status.Body)
	f.code, f.message = plain(s.creds.redact(f.code), 60), plain(s.creds.redact(f.message), 300)
	return f
}

// parseFailure reads the code and the message of an error, in JSON or in XML.
func parseFailure(body []byte) (code, message string) {
	var j struct {
		Type    string `json:"__type"`
		Message string // and "message": names are not case-sensitive
	}
	if json.Unmarshal(body, &j) == nil {
		return j.Type[strings.LastIndexByte(j.Type, '#')+1:], j.Message
	}
	dec := xml.NewDecoder(bytes.NewReader(body))
	for {
		token, err := dec.Token()
		if err != nil {
			return code, message
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "Code" && start.Name.Local != "Message" {
			continue
		}
		var text string
		if dec.DecodeElement(&text, &start) != nil {
			return code, message
		}
		if start.Name.Local == "Code" {
			code = cmp.Or(code, text)
		} else {
			message = cmp.Or(message, text)
		}
	}
}

// plain bounds what is quoted of somebody else's text, on one line.
func plain(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if s = strings.Join(strings.Fields(s), " "); len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
