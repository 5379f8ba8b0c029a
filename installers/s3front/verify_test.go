package s3front

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"time"
)

// verifySignature recomputes a signature from a request as it was received, as AWS
// does. It shares no code with sigv4.go. It returns the service that the request is for.
func verifySignature(r *http.Request, body []byte, id, secret, session string) (service, region string, err error) {
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if !ok {
		return "", "", errors.New("MissingAuthenticationToken")
	}
	field := map[string]string{}
	for _, part := range strings.Split(rest, ", ") {
		k, v, _ := strings.Cut(part, "=")
		field[k] = v
	}
	cred := strings.Split(field["Credential"], "/")
	if len(cred) != 5 || cred[0] != id || cred[4] != "aws4_request" {
		return "", "", errors.New("InvalidClientTokenId")
	}
	day, region, service := cred[1], cred[2], cred[3]
	stamp := r.Header.Get("X-Amz-Date")
	at, err := time.Parse("20060102T150405Z", stamp)
	if err != nil || stamp[:8] != day {
		return service, region, errors.New("IncompleteSignature: date")
	}
	if d := time.Since(at); d > 15*time.Minute || d < -15*time.Minute {
		return service, region, errors.New("RequestTimeTooSkewed")
	}
	if r.Header.Get("X-Amz-Security-Token") != session {
		return service, region, errors.New("InvalidToken")
	}
	signed := map[string]bool{}
	names := strings.Split(field["SignedHeaders"], ";")
	if !sort.StringsAreSorted(names) {
		return service, region, errors.New("IncompleteSignature: order")
	}
	for _, n := range names {
		signed[n] = true
	}
	for name := range r.Header {
		if l := strings.ToLower(name); (strings.HasPrefix(l, "x-amz-") || l == "content-type") && !signed[l] {
			return service, region, fmt.Errorf("SignatureDoesNotMatch: %s was not signed", l)
		}
	}
	if !signed["host"] {
		return service, region, errors.New("SignatureDoesNotMatch: host was not signed")
	}
	payload := sha256.Sum256(body)
	hash := hex.EncodeToString(payload[:])
	if service == "s3" && r.Header.Get("X-Amz-Content-Sha256") != hash {
		return service, region, errors.New("XAmzContentSHA256Mismatch")
	}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	if query != "" {
		return service, region, errors.New("the verifier does no queries")
	}
	if service != "s3" {
		path = strings.ReplaceAll(path, "%", "%25") // the only character of these paths that is encoded twice
	}
	canonical := r.Method + "\n" + path + "\n\n"
	for _, n := range names {
		v := r.Header.Get(n)
		if n == "host" {
			v = r.Host
		}
		canonical += n + ":" + strings.TrimSpace(v) + "\n"
	}
	canonical += "\n" + field["SignedHeaders"] + "\n" + hash
	sum := sha256.Sum256([]byte(canonical))
	text := strings.Join([]string{"AWS4-HMAC-SHA256", stamp, strings.Join(cred[1:], "/"), hex.EncodeToString(sum[:])}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range append(cred[1:], text) {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	got, err := hex.DecodeString(field["Signature"])
	if err != nil || !hmac.Equal(got, key) {
		// As AWS, which quotes everything that was signed.
		return service, region, fmt.Errorf("SignatureDoesNotMatch: the canonical string should have been '%s'", canonical)
	}
	return service, region, nil
}
