package s3front

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"edge/installers/delivery"
)

// Target is a CloudFront distribution, whose certificate is in ACM.
type Target struct {
	o     *Options
	acm   acm
	front cloudfront
	dist  *distribution // as it was seen last
}

var _ delivery.Placed = (*Target)(nil)
var _ delivery.Patient = (*Target)(nil)

// NewTarget makes a target of a distribution.
func NewTarget(o Options) (*Target, error) {
	if !distributionForm.MatchString(o.Distribution) {
		return nil, fmt.Errorf("distribution %.40q is no id of CloudFront's; it looks like E1ABCDEF2GHIJK", o.Distribution)
	}
	if o.ARN != "" && !arnForm.MatchString(o.ARN) {
		return nil, fmt.Errorf("certificate_arn %.100q is no certificate of ACM in us-east-1; CloudFront takes no others", o.ARN)
	}
	creds := o.credentials()
	a, err := newService(&o, creds, "acm", "us-east-1", or(o.ACM, "https://acm.us-east-1.amazonaws.com"))
	if err != nil {
		return nil, err
	}
	f, err := newService(&o, creds, "cloudfront", "us-east-1", or(o.CloudFront, "https://cloudfront.amazonaws.com"))
	if err != nil {
		return nil, err
	}
	return &Target{o: &o, acm: acm{a}, front: cloudfront{f}}, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// note is what a delivery remembers.
type note struct {
	ARN string `json:"arn"`
}

// Kind implements delivery.Target.
func (t *Target) Kind() string { return name }

// Where implements delivery.Target.
func (t *Target) Where() string { return t.o.Distribution }

// Settings implements delivery.Target.
func (t *Target) Settings() string { return t.o.Settings }

// Within implements delivery.Patient.
func (t *Target) Within() time.Duration { return t.o.Within }

// distribution fetches the distribution, or returns what was fetched last.
func (t *Target) distribution(ctx context.Context, anew bool) (*distribution, error) {
	if t.dist != nil && !anew {
		return t.dist, nil
	}
	d, err := t.front.get(ctx, t.o.Distribution)
	if err == nil {
		t.dist = d
	}
	return d, err
}

const (
	maxKey  = 5120    // bytes of PEM that ACM takes
	maxCert = 32768   // the same of the leaf
	maxRest = 2097152 // the same of the chain
)

// precheck refuses what ACM or CloudFront would refuse, or would break.
func precheck(m *delivery.Material) error {
	if err := m.Whole(); err != nil {
		return err
	}
	switch pub := m.Certs[0].PublicKey.(type) {
	case *rsa.PublicKey:
		if n := pub.N.BitLen(); n < 1024 || n > 4096 {
			return fmt.Errorf("CloudFront takes RSA keys of 1024 to 4096 bits, not of %d; get the certificate with key_type rsa2048", n)
		}
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() {
			return fmt.Errorf("CloudFront takes no keys of %s; get the certificate with key_type p256 or rsa2048", pub.Curve.Params().Name)
		}
	default:
		return fmt.Errorf("CloudFront takes no keys of %s; get the certificate with key_type p256 or rsa2048", m.Certs[0].PublicKeyAlgorithm)
	}
	for what, is := range map[string][2]int{"key": {len(m.KeyPEM), maxKey}, "certificate": {len(m.CertPEM), maxCert}, "chain": {len(m.ChainPEM), maxRest}} {
		if is[0] > is[1] {
			return fmt.Errorf("the %s has %d bytes, ACM takes at most %d", what, is[0], is[1])
		}
	}
	return nil
}

// Look implements delivery.Target.
func (t *Target) Look(ctx context.Context, m *delivery.Material, data json.RawMessage) ([]string, error) {
	arn := noted(data)
	if arn == "" {
		return []string{"nobody knows which certificate of ACM it is"}, nil
	}
	d, err := t.distribution(ctx, true)
	if err != nil {
		return nil, err
	}
	var list []string
	if d.Config.Viewer.ACMCertificateArn != arn {
		list = append(list, fmt.Sprintf("distribution %s does not have the certificate %s", t.o.Distribution, arn))
	}
	has, err := t.acm.get(ctx, arn)
	switch {
	case errors.Is(err, errMissing):
		list = append(list, "ACM has no certificate "+arn)
	case err != nil:
		return nil, err
	case !has.is(m.Certs[0], m.ChainPEM):
		list = append(list, "ACM has another certificate as "+arn)
	}
	return list, nil
}

func noted(data json.RawMessage) string {
	var n note
	if json.Unmarshal(data, &n) != nil || !arnForm.MatchString(n.ARN) {
		return ""
	}
	return n.ARN
}

// Plan implements delivery.Target.
func (t *Target) Plan(ctx context.Context, m *delivery.Material) []string {
	if err := precheck(m); err != nil {
		return []string{"nothing can be planned: " + err.Error()}
	}
	d, err := t.distribution(ctx, false)
	if err != nil {
		return []string{"nothing can be planned: " + err.Error()}
	}
	has, err := t.find(ctx, d, m, "")
	if err != nil {
		return []string{"nothing can be planned: " + err.Error()}
	}
	var list []string
	arn := "the new certificate"
	switch {
	case has == nil:
		list = append(list, "import the certificate into ACM (us-east-1) as a new one")
	case !has.is(m.Certs[0], m.ChainPEM):
		list = append(list, "import the certificate into ACM in place of "+has.arn)
	}
	if has != nil {
		arn = has.arn
	}
	if has == nil || d.Config.Viewer.ACMCertificateArn != has.arn {
		list = append(list, fmt.Sprintf("have distribution %s show %s, with at least %s, and wait until it is deployed", t.o.Distribution, arn, t.o.MinProtocol))
	}
	for _, alias := range t.aliases(d, m.Certs[0]) {
		list = append(list, fmt.Sprintf("look whether %s shows it for %s", d.DomainName, alias))
	}
	return list
}
