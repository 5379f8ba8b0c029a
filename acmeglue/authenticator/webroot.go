package authenticator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"edge"
	"edge/acmeglue"
)

// WebrootOptions are certbot's flags for its webroot plugin.
type WebrootOptions struct {
	// Map has the webroot of a name (--webroot-map, and what -w and -d in their
	// order came to). Keys are as in the certificate, without "*.".
	Map map[string]string
	// Path is for the names that Map lacks: the last -w. It may be empty.
	Path string
	Log  *slog.Logger
}

// Webroot writes files for a web server that is running (certbot:
// _internal/plugins/webroot.py). Safe for concurrent use, by several processes as
// well.
//
// A webroot may be a symbolic link. Below it links are followed as long as they
// stay in it, so that who may write there (often the web server itself) cannot
// lead a root process to other places.
type Webroot struct {
	o WebrootOptions

	mu      sync.Mutex
	files   map[edge.Answer]*answerFile
	created []placed // folders, outer before inner
}

// answerFile is shared by the orders that have the same answer.
type answerFile struct {
	placed
	uses int
}

// placed is a file or folder that we made.
type placed struct {
	root, path string // path is relative to root
	dev, ino   uint64
}

// NewWebroot touches nothing yet.
func NewWebroot(o WebrootOptions) *Webroot {
	o.Log = logger(o.Log)
	o.Map = maps.Clone(o.Map)
	return &Webroot{o: o, files: map[edge.Answer]*answerFile{}}
}

// Name implements acmeglue.Authenticator.
func (w *Webroot) Name() string { return "webroot" }

// Types implements acmeglue.Authenticator.
func (w *Webroot) Types() []edge.ChallengeType { return []edge.ChallengeType{edge.HTTP01} }

// Root is the webroot of a name, empty where there is none.
func (w *Webroot) Root(id edge.Identifier) string {
	if root := w.o.Map[strings.TrimPrefix(id.Value, "*.")]; root != "" {
		return root
	}
	return w.o.Path
}

// Check says which webroot is missing.
func (w *Webroot) Check(ids ...edge.Identifier) error {
	for _, id := range ids {
		root := w.Root(id)
		if root == "" {
			return fmt.Errorf("no webroot for %s: name it with --webroot-path (-w), or in --webroot-map", id)
		}
		info, err := os.Stat(root)
		switch {
		case errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir():
			return fmt.Errorf("%s does not exist or is not a directory; it is the webroot of %s: correct %s, or make it", root, id, w.flag(id))
		case err != nil:
			return fmt.Errorf("webroot of %s (%s): %w", id, w.flag(id), err)
		}
	}
	return nil
}

// flag is what the webroot of a name comes from.
func (w *Webroot) flag(id edge.Identifier) string {
	if w.o.Map[strings.TrimPrefix(id.Value, "*.")] != "" {
		return "--webroot-map or --webroot-path (-w)"
	}
	return "--webroot-path (-w)"
}

// Present implements acmeglue.Authenticator.
func (w *Webroot) Present(ctx context.Context, batch []edge.Answer) error {
	// What is wrong with the roots is told for all names at once.
	var failed acmeglue.AuthorizationError
	for _, a := range batch {
		err := w.Check(a.Identifier)
		if a.Type != edge.HTTP01 {
			err = unable(w, a)
		}
		if err != nil {
			failed.Failed = append(failed.Failed, acmeglue.AnswerFailed(err, a).Failed...)
		}
	}
	if len(failed.Failed) > 0 {
		return &failed
	}
	for _, a := range batch {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		root := w.Root(a.Identifier)
		if err := w.place(root, a); err != nil {
			return acmeglue.AnswerFailed(fmt.Errorf("webroot %s: %w", root, err), a)
		}
	}
	return nil
}

// Ready implements acmeglue.Authenticator: the web server has the files.
func (w *Webroot) Ready(context.Context, []edge.Answer) error { return nil }

// Cleanup removes the files, and the folders that we made where nobody else has
// put anything in.
func (w *Webroot) Cleanup(_ context.Context, batch []edge.Answer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, a := range batch {
		f := w.files[a]
		if f == nil {
			continue
		}
		if f.uses--; f.uses > 0 {
			continue
		}
		delete(w.files, a)
		if err := f.remove(false); err != nil {
			errs = append(errs, fmt.Errorf("%s/%s was left behind: %w", f.root, f.path, err))
		}
	}
	if len(w.files) > 0 {
		return errors.Join(errs...) // another order still needs the folders
	}
	var left []placed
	for _, dir := range slices.Backward(w.created) {
		if err := dir.remove(true); err != nil {
			w.o.Log.Info("a challenge folder was not empty and is left", "folder", dir.root+"/"+dir.path, "error", err)
			left = slices.Insert(left, 0, dir)
		}
	}
	w.created = left
	return errors.Join(errs...)
}
