package s3front

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"edge"
	"edge/installers/answer"
	"edge/installers/api"
	"edge/installers/selfcheck"
)

// Authenticator answers HTTP-01 by objects in the bucket that a site is served from. It
// remembers nothing. Safe for concurrent use.
type Authenticator struct {
	o     *Options
	s3    *service
	under string // path of the folder with the answers, escaped, without a slash behind it
}

var (
	bucketForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$`)
	regionForm = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
)

// NewAuthenticator makes an authenticator for a bucket.
func NewAuthenticator(o Options) (*Authenticator, error) {
	switch {
	case !bucketForm.MatchString(o.Bucket):
		return nil, fmt.Errorf("bucket %.70q is no name of a bucket", o.Bucket)
	case !regionForm.MatchString(o.Region):
		return nil, fmt.Errorf("region %.70q is no name of a region; it looks like eu-central-1", o.Region)
	}
	a := &Authenticator{o: &o}
	for part := range strings.SplitSeq(strings.Trim(o.Directory, "/"), "/") {
		switch {
		case o.Directory == "":
		case part == "" || part == "." || part == "..":
			return nil, fmt.Errorf("directory %.70q is no folder of a bucket", o.Directory)
		default:
			a.under += "/" + escape(part, false)
		}
	}
	// A bucket with dots does not fit the service's certificate, and other stores have no
	// names for buckets: then it is a part of the path.
	base := "https://" + o.Bucket + ".s3." + o.Region + ".amazonaws.com"
	if o.S3 != "" || strings.Contains(o.Bucket, ".") {
		base = or(o.S3, "https://s3."+o.Region+".amazonaws.com")
		a.under = "/" + o.Bucket + a.under
	}
	a.under += "/.well-known/acme-challenge"
	var err error
	a.s3, err = newService(&o, o.credentials(), "s3", o.Region, base)
	return a, err
}

// Name is as in renewal files.
func (a *Authenticator) Name() string { return name }

// Types returns HTTP-01.
func (a *Authenticator) Types() []edge.ChallengeType { return []edge.ChallengeType{edge.HTTP01} }

// Present puts the answers into the bucket, before anybody asks for them: CloudFront
// remembers for a while that something was not there.
func (a *Authenticator) Present(ctx context.Context, batch []edge.Answer) error {
	for _, one := range batch {
		if err := answer.Check(name, one, answer.Options{}); err != nil {
			return err
		}
	}
	for n, one := range batch {
		header := http.Header{"Cache-Control": {"no-store"}}
		if a.o.ACL != "" {
			header.Set("X-Amz-Acl", a.o.ACL)
		}
		_, err := a.s3.do(ctx, "PutObject", api.Request{
			Method: http.MethodPut, Path: a.under + "/" + one.Token, Header: header, Body: []byte(one.KeyAuth), Type: "text/plain",
		})
		if err != nil {
			err = fmt.Errorf("answer for %s: %w", one.Identifier.Value, a.advise(err))
			return errors.Join(err, a.remove(context.WithoutCancel(ctx), batch[:n]))
		}
	}
	return nil
}

// advise adds what people can do.
func (a *Authenticator) advise(err error) error {
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	switch region := f.header.Get("X-Amz-Bucket-Region"); {
	case region != "" && region != a.o.Region:
		return fmt.Errorf("%w; the bucket is in %s: set region", err, plain(region, 40))
	case f.code == "AccessControlListNotSupported":
		return fmt.Errorf("%w; leave acl out, and let the bucket's policy say who may read", err)
	case f.code == "AccessDenied":
		return fmt.Errorf("%w; the policy has to allow s3:PutObject and s3:DeleteObject on %s/*", err, a.under)
	}
	return err
}

// Ready asks the site for the answers, as the CA is going to.
func (a *Authenticator) Ready(ctx context.Context, batch []edge.Answer) error {
	if !a.o.SelfCheck {
		return nil
	}
	return selfcheck.Await(ctx, a.s3.env, batch, selfcheck.Patience{
		Tries: 15, Pause: 2 * time.Second, // CloudFront remembers errors for ten seconds
		Hint: "the name has to lead to the bucket " + a.o.Bucket + " by plain HTTP or a redirect, and its policy to allow reading; self_check: false leaves this out",
	})
}

// Cleanup takes the answers away.
func (a *Authenticator) Cleanup(ctx context.Context, batch []edge.Answer) error {
	return a.remove(ctx, batch)
}

func (a *Authenticator) remove(ctx context.Context, batch []edge.Answer) error {
	var errs []error
	for _, one := range batch {
		if answer.Check(name, one, answer.Options{}) != nil {
			continue // it was never put
		}
		_, err := a.s3.do(ctx, "DeleteObject", api.Request{Method: http.MethodDelete, Path: a.under + "/" + one.Token})
		if err != nil && !is(err, "NoSuchKey") {
			errs = append(errs, fmt.Errorf("answer for %s: %w", one.Identifier.Value, err))
		}
	}
	return errors.Join(errs...)
}
