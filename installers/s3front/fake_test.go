package s3front

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"edge/installers/target"
	"edge/internal/edgetest/targettest"
)

const (
	fakeID      = "ASIAEXAMPLEEXAMPLE1"
	fakeSecret  = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYSECRETKEY"
	fakeSession = "FwoGZXIvYXdzEXAMPLESESSIONTOKEN//////////wEaDA=="
	fakeDist    = "E1EXAMPLE2DIST"
	fakeBucket  = "www.example.test"
)

// fakeCert is a certificate of ACM's.
type fakeCert struct {
	leaf, chain, key []byte
	parsed           *x509.Certificate
	tags             []tag
	kind             string // IMPORTED or AMAZON_ISSUED
}

// fakeAWS is ACM and CloudFront in us-east-1, and S3 in eu-central-1: as strict as those
// are, and stricter.
type fakeAWS struct {
	t    *testing.T
	at   *targettest.Service
	site *httptest.Server // of the bucket

	mu       sync.Mutex
	certs    map[string]*fakeCert
	made     int
	doc      string // the distribution's configuration
	etag     int
	polls    int              // looks at the distribution until it is deployed
	others   func(f *fakeAWS) // is called once before the next update, as somebody else
	throttle int              // requests of ACM that it is too busy for
	stuck    bool             // it is never deployed
	unknown  int              // updates for which a new certificate is not known yet
	updates  int
	asked    []string
	objects  map[string]string
	withACLs bool
	full     int // objects that it takes; 0: any
	pageSize int
}

// fakeConfig is a distribution with things that no SDK of today knows.
const fakeConfig = `<?xml version="1.0"?>
<DistributionConfig xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><CallerReference>ref-1</CallerReference><Aliases><Quantity>1</Quantity><Items><CNAME>a.example.test</CNAME></Items></Aliases>
  <!-- a comment --><FutureSetting mode="new"><Deep>1 &amp; 2</Deep><ViewerCertificate>not this one</ViewerCertificate></FutureSetting><Comment>first</Comment><Enabled>true</Enabled><ViewerCertificate><CloudFrontDefaultCertificate>true</CloudFrontDefaultCertificate><SSLSupportMethod>vip</SSLSupportMethod><MinimumProtocolVersion>TLSv1</MinimumProtocolVersion><FutureViewerSetting><On>yes</On></FutureViewerSetting><CertificateSource>cloudfront</CertificateSource></ViewerCertificate><Restrictions/></DistributionConfig>`

func newFake(t *testing.T) *fakeAWS {
	f := &fakeAWS{t: t, certs: map[string]*fakeCert{}, objects: map[string]string{}, doc: fakeConfig, pageSize: 100}
	f.at = targettest.NewService(t, f)
	f.at.Deny = func(w http.ResponseWriter, r *http.Request) {
		// AWS quotes what was signed: the session token is in it.
		_, _, err := verifySignature(r, nil, fakeID, "another", fakeSession)
		f.xmlError(w, http.StatusForbidden, "SignatureDoesNotMatch", fmt.Sprint(err))
	}
	f.site = httptest.NewServer(http.HandlerFunc(f.serveSite))
	t.Cleanup(f.site.Close)
	return f
}

// options are of this AWS, for the world of a test.
func (f *fakeAWS) options(env *target.Env) Options {
	env.Getenv = func(name string) string {
		return map[string]string{"AWS_ACCESS_KEY_ID": fakeID, "AWS_SECRET_ACCESS_KEY": fakeSecret, "AWS_SESSION_TOKEN": fakeSession}[name]
	}
	dial := env.Dial
	env.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasSuffix(addr, ".example.test:80") {
			addr = f.site.Listener.Addr().String()
		}
		return dial(ctx, network, addr)
	}
	_, values := parsed(f.t, map[string][]string{"distribution": {fakeDist}, "bucket": {fakeBucket}, "region": {"eu-central-1"}, "s3_endpoint": {f.at.URL}})
	o := options(values, env)
	o.ACM, o.CloudFront, o.Roots, o.At = f.at.URL, f.at.URL, f.at.Roots, nil
	o.At = append(o.At, f.at.At)
	return o
}

func (f *fakeAWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	service, region, err := verifySignature(r, body, fakeID, fakeSecret, fakeSession)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err != nil:
		f.t.Errorf("%s %s: %v", r.Method, r.URL, err)
		f.xmlError(w, http.StatusForbidden, "SignatureDoesNotMatch", err.Error())
	case r.TransferEncoding != nil || r.ContentLength != int64(len(body)):
		f.xmlError(w, http.StatusLengthRequired, "MissingContentLength", "")
	case service == "acm" && region == "us-east-1":
		f.acm(w, r, body)
	case service == "cloudfront" && region == "us-east-1":
		f.cloudfront(w, r, body)
	case service == "s3" && region == "eu-central-1":
		f.s3(w, r, body)
	default:
		f.xmlError(w, http.StatusForbidden, "AccessDenied", "no such service here")
	}
}

func (f *fakeAWS) xmlError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0"?><ErrorResponse xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Error><Type>Sender</Type><Code>%s</Code><Message>`, code)
	_ = xml.EscapeText(w, []byte(message))
	fmt.Fprint(w, "</Message></Error><RequestId>1</RequestId></ErrorResponse>")
}

func (f *fakeAWS) jsonError(w http.ResponseWriter, code, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": message})
}

func (f *fakeAWS) acm(w http.ResponseWriter, r *http.Request, body []byte) {
	action, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "CertificateManager.")
	f.asked = append(f.asked, action)
	if !ok || r.Method != "POST" || r.RequestURI != "/" || r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		f.jsonError(w, "com.amazon.coral.service#UnknownOperationException", "")
		return
	}
	strict := func(in any) bool {
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(in); err != nil {
			f.jsonError(w, "com.amazon.coral.service#SerializationException", err.Error())
			return false
		}
		return true
	}
	named := func() (string, *fakeCert) {
		var in struct{ CertificateArn string }
		if !strict(&in) {
			return "", nil
		}
		c := f.certs[in.CertificateArn]
		if c == nil {
			f.jsonError(w, "com.amazonaws.certificatemanager#ResourceNotFoundException", "Could not find certificate "+in.CertificateArn)
		}
		return in.CertificateArn, c
	}
	answer := func(out any) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_ = json.NewEncoder(w).Encode(out)
	}
	if f.throttle--; f.throttle >= 0 {
		f.jsonError(w, "ThrottlingException", "Rate exceeded")
		return
	}
	switch action {
	case "GetCertificate":
		if _, c := named(); c != nil {
			answer(map[string]string{"Certificate": string(c.leaf), "CertificateChain": string(c.chain)})
		}
	case "ListTagsForCertificate":
		if _, c := named(); c != nil {
			answer(map[string]any{"Tags": c.tags})
		}
	case "ListCertificates":
		var in struct {
			MaxItems  int
			NextToken string
			Includes  struct {
				KeyTypes []string `json:"keyTypes"`
			}
		}
		if strict(&in) {
			answer(f.list(in.NextToken, in.Includes.KeyTypes))
		}
	case "ImportCertificate":
		var in struct {
			CertificateArn                            string
			Certificate, PrivateKey, CertificateChain []byte
			Tags                                      []tag
		}
		if !strict(&in) {
			return
		}
		c := &fakeCert{leaf: in.Certificate, chain: in.CertificateChain, key: in.PrivateKey, tags: in.Tags, kind: "IMPORTED"}
		if code, message := f.importing(in.CertificateArn, c); code != "" {
			f.jsonError(w, code, message)
			return
		}
		arn := in.CertificateArn
		if arn == "" {
			f.made++
			arn = fmt.Sprintf("arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-4000-8000-%012d", f.made)
		} else {
			c.tags = f.certs[arn].tags
		}
		f.certs[arn] = c
		if f.viewerARN() == arn && f.polls == 0 {
			f.show()
		}
		answer(map[string]string{"CertificateArn": arn})
	default:
		f.jsonError(w, "UnknownOperationException", action)
	}
}

// importing is what ImportCertificate refuses.
func (f *fakeAWS) importing(arn string, c *fakeCert) (code, message string) {
	const validation = "com.amazonaws.certificatemanager#ValidationException"
	pair, err := tls.X509KeyPair(c.leaf, c.key)
	switch {
	case err != nil:
		return validation, "The private key is not for the certificate: " + err.Error()
	case len(c.key) > 5120 || len(c.leaf) > 32768:
		return validation, "too long"
	case len(pair.Certificate) != 1:
		return validation, "The certificate field contains more than one certificate."
	}
	c.parsed = pair.Leaf
	last := c.parsed
	for block, rest := pem.Decode(c.chain); block != nil; block, rest = pem.Decode(rest) {
		next, err := x509.ParseCertificate(block.Bytes)
		if err != nil || last.CheckSignatureFrom(next) != nil {
			return validation, "Could not validate the certificate with the certificate chain."
		}
		last = next
	}
	if arn == "" {
		return "", ""
	}
	was := f.certs[arn]
	switch {
	case was == nil:
		return "com.amazonaws.certificatemanager#ResourceNotFoundException", arn
	case was.kind != "IMPORTED":
		return validation, "Certificate was not imported."
	case c.tags != nil:
		return validation, "Tags cannot be applied on reimport."
	case f.keyType(was.parsed) != f.keyType(c.parsed):
		return validation, "The key type and size cannot be changed."
	case was.parsed.KeyUsage&^c.parsed.KeyUsage != 0:
		return validation, "Key usage values cannot be removed."
	}
	for _, use := range was.parsed.ExtKeyUsage {
		if !slices.Contains(c.parsed.ExtKeyUsage, use) {
			return validation, "Extended key usage values cannot be removed."
		}
	}
	return "", ""
}

func (f *fakeAWS) keyType(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA_%d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return map[elliptic.Curve]string{elliptic.P256(): "EC_prime256v1", elliptic.P384(): "EC_secp384r1"}[k.Curve]
	}
	return "?"
}

// list is a page of ListCertificates: without a filter, with small RSA keys alone.
func (f *fakeAWS) list(token string, types []string) any {
	if types == nil {
		types = []string{"RSA_1024", "RSA_2048"}
	}
	var arns []string
	for arn, c := range f.certs {
		if arn > token && slices.Contains(types, f.keyType(c.parsed)) {
			arns = append(arns, arn)
		}
	}
	sort.Strings(arns)
	var page []any
	for _, arn := range arns[:min(len(arns), f.pageSize)] {
		c := f.certs[arn]
		page = append(page, map[string]any{
			"CertificateArn": arn, "DomainName": c.parsed.DNSNames[0], "Type": c.kind, "Status": "ISSUED",
			"SubjectAlternativeNameSummaries":      c.parsed.DNSNames[:min(len(c.parsed.DNSNames), 100)],
			"HasAdditionalSubjectAlternativeNames": len(c.parsed.DNSNames) > 100,
		})
	}
	out := map[string]any{"CertificateSummaryList": page}
	if len(arns) > f.pageSize {
		out["NextToken"] = arns[f.pageSize-1]
	}
	return out
}

var viewerPart = regexp.MustCompile(`(?s)<ViewerCertificate><.*</ViewerCertificate>`)

// parts are the configuration before the element, its children, and what comes after.
func (f *fakeAWS) parts(doc string) (before, after string, children map[string]string, err error) {
	var in struct {
		XMLName xml.Name `xml:"http://cloudfront.amazonaws.com/doc/2020-05-31/ DistributionConfig"`
		Viewer  struct {
			Children []struct {
				XMLName xml.Name
				Inner   string `xml:",innerxml"`
			} `xml:",any"`
		} `xml:"ViewerCertificate"`
	}
	if err := xml.Unmarshal([]byte(doc), &in); err != nil {
		return "", "", nil, err
	}
	at := viewerPart.FindStringIndex(doc)
	if at == nil {
		return "", "", nil, fmt.Errorf("MalformedXML")
	}
	children = map[string]string{}
	for _, c := range in.Viewer.Children {
		if _, twice := children[c.XMLName.Local]; twice {
			return "", "", nil, fmt.Errorf("MalformedXML: two of %s", c.XMLName.Local)
		}
		children[c.XMLName.Local] = c.Inner
	}
	return doc[:at[0]], doc[at[1]:], children, nil
}
