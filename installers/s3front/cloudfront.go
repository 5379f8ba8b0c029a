package s3front

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"edge/installers/api"
)

// cloudfront has the distributions.
type cloudfront struct{ *service }

// cloudfrontAPI is the version of its interface.
const cloudfrontAPI = "/2020-05-31/distribution/"

var distributionForm = regexp.MustCompile(`^[A-Z0-9]{1,64}$`)

// distribution is what is read of one. It is never written back.
type distribution struct {
	Status     string // "Deployed" once the last change is everywhere
	DomainName string
	Config     struct {
		Aliases []string `xml:"Aliases>Items>CNAME"`
		Viewer  struct {
			ACMCertificateArn string
		} `xml:"ViewerCertificate"`
	} `xml:"DistributionConfig"`
}

var domainForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)

func (c cloudfront) get(ctx context.Context, id string) (*distribution, error) {
	resp, err := c.do(ctx, "GetDistribution", api.Request{Method: http.MethodGet, Path: cloudfrontAPI + id})
	if err != nil {
		return nil, err
	}
	d := &distribution{}
	if err := xml.Unmarshal(resp.Body, d); err != nil || !domainForm.MatchString(d.DomainName) {
		return nil, errors.Join(fmt.Errorf("cloudfront GetDistribution: %s: the answer is not what CloudFront says", id), err)
	}
	return d, nil
}

// maxTries is how often a configuration is fetched and written anew, since somebody else
// has changed it in between.
const maxTries = 5

// change fetches a distribution's configuration, edits the one element, and writes it
// back, unless somebody else has written in between: then it begins anew. Edit returns
// the new document, nil where nothing is to be changed. Changed says whether anything was
// written, first is the element that was found at first.
func (c cloudfront) change(ctx context.Context, id string, edit func(v *viewer, doc []byte) ([]byte, error)) (changed bool, first []byte, err error) {
	for try := 1; ; try++ {
		resp, err := c.do(ctx, "GetDistributionConfig", api.Request{Method: http.MethodGet, Path: cloudfrontAPI + id + "/config"})
		if err != nil {
			return changed, first, err
		}
		v, err := parseViewer(resp.Body)
		if err != nil {
			return changed, first, err
		}
		if try == 1 {
			first = v.element(resp.Body)
		}
		doc, err := edit(v, resp.Body)
		if err != nil || doc == nil {
			return changed, first, err
		}
		etag := resp.Header.Get("Etag")
		if etag == "" {
			return changed, first, errors.New("cloudfront GetDistributionConfig: the answer has no ETag, without which nothing can be written safely")
		}
		changed = true // perhaps: an answer may have got lost
		_, err = c.do(ctx, "UpdateDistribution", api.Request{
			Method: http.MethodPut, Path: cloudfrontAPI + id + "/config", Header: http.Header{"If-Match": {etag}}, Body: doc, Type: "application/xml",
		})
		if err == nil {
			return true, first, nil
		}
		// A certificate that was imported a moment ago may not be known there yet.
		if try == maxTries || !is(err, "PreconditionFailed", "InvalidIfMatchVersion", "InvalidViewerCertificate") {
			return !refused(err), first, err
		}
		if err := c.env.Pause(ctx, time.Duration(try)*time.Second); err != nil {
			return changed, first, err
		}
	}
}

// refused reports whether an error says that nothing was done.
func refused(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.status/100 == 4
}

// pollEvery is the time between two looks at a distribution that is being changed.
const pollEvery = 15 * time.Second

// deployed waits until a distribution's last change is everywhere.
func (c cloudfront) deployed(ctx context.Context, id string, within time.Duration) error {
	for polls := 0; ; polls++ {
		d, err := c.get(ctx, id)
		if err != nil {
			return err
		}
		waited := time.Duration(polls) * pollEvery
		switch {
		case d.Status == "Deployed":
			return nil
		case waited >= within:
			return fmt.Errorf("cloudfront: distribution %s is still %s after %v", id, plain(d.Status, 40), within)
		case polls%4 == 1:
			c.env.Log.Info("cloudfront is bringing the change to its locations", "target", name, "distribution", id, "waited", waited)
		}
		if err := c.env.Pause(ctx, pollEvery); err != nil {
			return err
		}
	}
}
