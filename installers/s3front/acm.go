package s3front

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"edge/installers/api"
)

// acm keeps certificates. CloudFront takes those of us-east-1 alone.
type acm struct{ *service }

// tagKey marks certificates that edge has imported; its value is the lineage.
const tagKey = "edge"

var arnForm = regexp.MustCompile(`^arn:aws[a-z-]*:acm:us-east-1:[0-9]{12}:certificate/[A-Za-z0-9-]{1,64}$`)

// errMissing says that ACM has no certificate of that ARN.
var errMissing = errors.New("there is no such certificate")

// stored is a certificate that ACM has.
type stored struct {
	arn   string
	leaf  *x509.Certificate
	chain []byte // DER of the certificates after the leaf, one after the other
}

// call makes a request of ACM's JSON protocol. Again says that twice is as good as once.
func (a acm) call(ctx context.Context, action string, in, out any, again bool) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	resp, err := a.do(ctx, action, api.Request{
		Method: "POST", Path: "/", Header: map[string][]string{"X-Amz-Target": {"CertificateManager." + action}},
		Body: body, Type: "application/x-amz-json-1.1", Again: again,
	})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(resp.Body, out); err != nil {
		return fmt.Errorf("acm %s: the answer is not what ACM says: %w", action, err)
	}
	return nil
}

type tag struct{ Key, Value string }

// importing is the request of ImportCertificate. Bytes are base64 in JSON.
type importing struct {
	CertificateArn   string `json:",omitempty"`
	Certificate      []byte
	PrivateKey       []byte
	CertificateChain []byte `json:",omitempty"`
	Tags             []tag  `json:",omitempty"`
}

// put imports a certificate: under its ARN, in place of what is there, or for the first
// time, as the lineage's.
func (a acm) put(ctx context.Context, arn, lineage string, cert, chain, key []byte) (string, error) {
	in := importing{CertificateArn: arn, Certificate: cert, PrivateKey: key, CertificateChain: chain}
	if arn == "" { // tags are refused later
		in.Tags = []tag{{tagKey, tagValue(lineage)}}
	}
	var out struct{ CertificateArn string }
	// Twice for the first time would be two certificates.
	if err := a.call(ctx, "ImportCertificate", in, &out, arn != ""); err != nil {
		return "", err
	}
	if !arnForm.MatchString(out.CertificateArn) || arn != "" && out.CertificateArn != arn {
		return "", fmt.Errorf("acm ImportCertificate: the answer has an ARN that was not expected (%.80q)", out.CertificateArn)
	}
	return out.CertificateArn, nil
}

// get returns what ACM has; errMissing where it has nothing.
func (a acm) get(ctx context.Context, arn string) (*stored, error) {
	var out struct{ Certificate, CertificateChain string }
	if err := a.call(ctx, "GetCertificate", map[string]string{"CertificateArn": arn}, &out, true); err != nil {
		if is(err, "ResourceNotFoundException") {
			err = fmt.Errorf("%s: %w", arn, errMissing)
		}
		return nil, err
	}
	block, _ := pem.Decode([]byte(out.Certificate))
	if block == nil {
		return nil, fmt.Errorf("acm GetCertificate: %s: this is no certificate in PEM form", arn)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("acm GetCertificate: %s: %w", arn, err)
	}
	return &stored{arn, leaf, ders([]byte(out.CertificateChain))}, nil
}

// ders are the certificates of a text in PEM form, without what is around them.
func ders(text []byte) []byte {
	var all []byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		all = append(all, block.Bytes...)
	}
	return all
}

// is reports whether it is what would be put.
func (s *stored) is(leaf *x509.Certificate, chain []byte) bool {
	return s.leaf.Equal(leaf) && bytes.Equal(s.chain, ders(chain))
}

// ours reports whether a certificate was imported here for a lineage.
func (a acm) ours(ctx context.Context, arn, lineage string) (bool, error) {
	var out struct{ Tags []tag }
	err := a.call(ctx, "ListTagsForCertificate", map[string]string{"CertificateArn": arn}, &out, true)
	if is(err, "ResourceNotFoundException") {
		return false, nil
	}
	return slices.Contains(out.Tags, tag{tagKey, tagValue(lineage)}), err
}

// maxPages bounds the pages of a list, of a hundred certificates each.
const maxPages = 100

// summary is what a list says of a certificate.
type summary struct {
	CertificateArn                       string
	SubjectAlternativeNameSummaries      []string
	HasAdditionalSubjectAlternativeNames bool
	Type                                 string
}

// like are the ARNs of imported certificates that have exactly these names, or so many
// that the list does not say.
func (a acm) like(ctx context.Context, names []string) ([]string, error) {
	want := nameSet(names)
	// Without the filter, the list has those with small RSA keys alone.
	in := map[string]any{"MaxItems": 100, "Includes": map[string]any{"keyTypes": []string{
		"RSA_1024", "RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1",
	}}}
	var found []string
	for range maxPages {
		var out struct {
			CertificateSummaryList []summary
			NextToken              string
		}
		if err := a.call(ctx, "ListCertificates", in, &out, true); err != nil {
			return nil, err
		}
		for _, s := range out.CertificateSummaryList {
			if s.Type == "IMPORTED" && arnForm.MatchString(s.CertificateArn) &&
				(s.HasAdditionalSubjectAlternativeNames || slices.Equal(nameSet(s.SubjectAlternativeNameSummaries), want)) {
				found = append(found, s.CertificateArn)
			}
		}
		if out.NextToken == "" {
			return found, nil
		}
		in["NextToken"] = out.NextToken
	}
	return nil, fmt.Errorf("acm ListCertificates: more than %d pages; say which certificate is meant with certificate_arn", maxPages)
}

// nameSet makes lists of names comparable.
func nameSet(names []string) []string {
	var set []string
	for _, n := range names {
		set = append(set, strings.ToLower(n))
	}
	slices.Sort(set)
	return slices.Compact(set)
}

// tagValue is a lineage's name with the characters that a tag may have.
func tagValue(lineage string) string {
	value := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.:/=+-@ ", r) {
			return r
		}
		return '_'
	}, lineage)
	return value[:min(len(value), 256)]
}

// fits reports whether a certificate can take the place of another under its ARN: ACM
// keeps the kind of the key, and what it may be used for must not get less.
func fits(was, is *x509.Certificate) bool {
	less := slices.ContainsFunc(was.ExtKeyUsage, func(use x509.ExtKeyUsage) bool { return !slices.Contains(is.ExtKeyUsage, use) })
	return kind(was) == kind(is) && was.KeyUsage&^is.KeyUsage == 0 && !less
}

// kind is the kind of a key, as ACM tells them apart.
func kind(c *x509.Certificate) string {
	switch pub := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", pub.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + pub.Curve.Params().Name
	}
	return c.PublicKeyAlgorithm.String()
}
