package s3front

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

func (f *fakeAWS) viewerARN() string {
	_, _, children, err := f.parts(f.doc)
	if err != nil {
		f.t.Error(err)
	}
	return children["ACMCertificateArn"]
}

// show has the TLS port show what the distribution has.
func (f *fakeAWS) show() {
	if c := f.certs[f.viewerARN()]; c != nil {
		if err := f.at.Install("distribution", slices.Concat(c.leaf, c.chain), c.key); err != nil {
			f.t.Error(err)
		}
		return
	}
	_ = f.at.Install("distribution", nil, nil)
}

func (f *fakeAWS) tag() string { return fmt.Sprintf("ETAG%d", f.etag) }

func (f *fakeAWS) cloudfront(w http.ResponseWriter, r *http.Request, body []byte) {
	f.asked = append(f.asked, r.Method+" "+r.URL.Path)
	const at = "/2020-05-31/distribution/" + fakeDist
	switch {
	case r.Method == "GET" && r.URL.Path == at:
		status := "Deployed"
		if f.polls > 0 {
			status = "InProgress"
			if f.polls--; f.stuck {
				f.polls++
			} else if f.polls == 0 {
				f.show()
			}
		}
		w.Header().Set("Content-Type", "text/xml")
		w.Header().Set("ETag", f.tag())
		inner := strings.TrimPrefix(f.doc, "<?xml version=\"1.0\"?>\n")
		fmt.Fprintf(w, `<?xml version="1.0"?><Distribution xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Id>%s</Id><Status>%s</Status><DomainName>d111111abcdef8.cloudfront.net</DomainName>%s</Distribution>`, fakeDist, status, inner)
	case r.Method == "GET" && r.URL.Path == at+"/config":
		w.Header().Set("Content-Type", "text/xml")
		w.Header().Set("ETag", f.tag())
		_, _ = w.Write([]byte(f.doc))
	case r.Method == "PUT" && r.URL.Path == at+"/config":
		if status, code, message := f.update(r, string(body)); code != "" {
			f.xmlError(w, status, code, message)
			return
		}
		w.Header().Set("ETag", f.tag())
		fmt.Fprint(w, "<Distribution/>")
	default:
		f.xmlError(w, http.StatusNotFound, "NoSuchDistribution", "The specified distribution does not exist.")
	}
}

// update is what UpdateDistribution refuses, and does.
func (f *fakeAWS) update(r *http.Request, doc string) (status int, code, message string) {
	if others := f.others; others != nil {
		f.others = nil
		others(f)
		f.etag++
	}
	if r.Header.Get("Content-Type") != "application/xml" {
		return 415, "UnsupportedMediaType", ""
	}
	switch got := r.Header.Get("If-Match"); {
	case got == "":
		return 400, "InvalidIfMatchVersion", ""
	case got != f.tag():
		return 412, "PreconditionFailed", "The request failed because it didn't meet the preconditions in one or more request-header fields."
	}
	before, after, was, err := f.parts(f.doc)
	if err != nil {
		return 400, "MalformedXML", err.Error()
	}
	newBefore, newAfter, is, err := f.parts(doc)
	if err != nil {
		return 400, "MalformedXML", err.Error()
	}
	if newBefore != before || newAfter != after || is["FutureViewerSetting"] != was["FutureViewerSetting"] {
		f.t.Errorf("the update changes more than the certificate:\n%s", doc)
		return 400, "InvalidArgument", "something got lost"
	}
	if status, code, message := f.viewer(is); code != "" {
		return status, code, message
	}
	f.doc, f.polls = doc, 3
	f.etag++
	f.updates++
	return 0, "", ""
}

// viewer is what CloudFront refuses of the element.
func (f *fakeAWS) viewer(is map[string]string) (status int, code, message string) {
	for name := range is {
		if !slices.Contains([]string{"ACMCertificateArn", "IAMCertificateId", "CloudFrontDefaultCertificate", "SSLSupportMethod", "MinimumProtocolVersion", "Certificate", "CertificateSource", "FutureViewerSetting"}, name) {
			return 400, "MalformedXML", name
		}
	}
	if is["CloudFrontDefaultCertificate"] == "true" {
		return 0, "", ""
	}
	arn := is["ACMCertificateArn"]
	c := f.certs[arn]
	switch {
	case is["IAMCertificateId"] != "" && arn != "", is["CertificateSource"] != "" && is["Certificate"] != arn, is["CloudFrontDefaultCertificate"] != "":
		return 400, "InvalidArgument", "more than one certificate"
	case c == nil || f.unknown > 0:
		f.unknown--
		return 400, "InvalidViewerCertificate", "The specified SSL certificate doesn't exist, isn't in us-east-1 region, isn't valid, or doesn't include a valid certificate chain."
	case c.parsed.VerifyHostname("a.example.test") != nil:
		return 400, "InvalidViewerCertificate", "The certificate that is attached to your distribution doesn't cover the alternate domain name (CNAME) that you're trying to add."
	case f.keyType(c.parsed) != "EC_prime256v1" && !strings.HasPrefix(f.keyType(c.parsed), "RSA_"):
		return 400, "InvalidViewerCertificate", "key"
	case is["SSLSupportMethod"] != "sni-only", !slices.Contains(append(protocols(), "TLSv1.3_2025"), is["MinimumProtocolVersion"]):
		return 400, "InvalidArgument", is["SSLSupportMethod"] + " " + is["MinimumProtocolVersion"]
	}
	return 0, "", ""
}

func (f *fakeAWS) s3(w http.ResponseWriter, r *http.Request, body []byte) {
	key, ok := strings.CutPrefix(r.URL.Path, "/"+fakeBucket+"/")
	acl := r.Header.Get("X-Amz-Acl")
	switch {
	case !ok:
		f.xmlError(w, http.StatusNotFound, "NoSuchBucket", "")
	case r.Method == "PUT" && acl != "" && !f.withACLs:
		f.xmlError(w, http.StatusBadRequest, "AccessControlListNotSupported", "The bucket does not allow ACLs")
	case r.Method == "PUT" && f.withACLs && acl != "public-read":
		f.xmlError(w, http.StatusForbidden, "AccessDenied", "nobody could read it")
	case r.Method == "PUT" && (r.Header.Get("Content-Type") != "text/plain" || r.Header.Get("Cache-Control") != "no-store"):
		f.xmlError(w, http.StatusBadRequest, "InvalidRequest", fmt.Sprint(r.Header))
	case r.Method == "PUT" && f.full > 0 && len(f.objects) >= f.full:
		f.xmlError(w, http.StatusForbidden, "QuotaExceeded", "")
	case r.Method == "PUT":
		f.objects[key] = string(body)
	case r.Method == "DELETE":
		delete(f.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		f.xmlError(w, http.StatusMethodNotAllowed, "MethodNotAllowed", "")
	}
}

// serveSite is the website of the bucket, under any name.
func (f *fakeAWS) serveSite(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path, err := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/"))
	body, ok := f.objects[path]
	if !ok || err != nil {
		http.Error(w, "AccessDenied", http.StatusForbidden) // who may not list is told nothing
		return
	}
	fmt.Fprint(w, body)
}
