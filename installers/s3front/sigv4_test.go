package s3front

import (
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The examples of AWS's own documentation: "Signature Version 4 signing process" (IAM),
// "Signature Calculations for the Authorization Header" (S3), and the test suite.
func TestSignExamples(t *testing.T) {
	suite := &credentials{id: "AKIDEXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	s3 := &credentials{id: "AKIAIOSFODNN7EXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	session := *suite
	session.session = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
	const bucket = "https://examplebucket.s3.amazonaws.com"
	for _, c := range []struct {
		name, method, url string
		header            http.Header
		body              string
		with              *credentials
		region, service   string
		at                string
		want              string
	}{
		{
			"IAM ListUsers", "GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
			http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}}, "",
			suite, "us-east-1", "iam", "20150830T123600Z", "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
		},
		{
			"get-vanilla", "GET", "https://example.amazonaws.com/", nil, "",
			suite, "us-east-1", "service", "20150830T123600Z", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
		},
		{
			"post-vanilla", "POST", "https://example.amazonaws.com/", nil, "",
			suite, "us-east-1", "service", "20150830T123600Z", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
		},
		{
			"post-sts-header-before", "POST", "https://example.amazonaws.com/", nil, "",
			&session, "us-east-1", "service", "20150830T123600Z", "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
		},
		{
			"S3 GET object", "GET", bucket + "/test.txt", http.Header{"Range": {"bytes=0-9"}}, "",
			s3, "us-east-1", "s3", "20130524T000000Z", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
		},
		{
			"S3 PUT object", "PUT", bucket + "/test%24file.text",
			http.Header{"Date": {"Fri, 24 May 2013 00:00:00 GMT"}, "X-Amz-Storage-Class": {"REDUCED_REDUNDANCY"}}, "Welcome to Amazon S3.",
			s3, "us-east-1", "s3", "20130524T000000Z", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
		},
		{
			"S3 bucket lifecycle", "GET", bucket + "/?lifecycle", nil, "",
			s3, "us-east-1", "s3", "20130524T000000Z", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
		},
		{
			"S3 list objects", "GET", bucket + "/?max-keys=2&prefix=J", nil, "",
			s3, "us-east-1", "s3", "20130524T000000Z", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := http.NewRequest(c.method, c.url, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			for name, values := range c.header {
				r.Header[name] = values
			}
			at, err := time.Parse(amzDate, c.at)
			if err != nil {
				t.Fatal(err)
			}
			sign(r, []byte(c.body), c.with, scope{c.region, c.service, at})
			_, got, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
			if got != c.want {
				canonical, _ := canonicalRequest(r, hexHash([]byte(c.body)), c.service)
				t.Errorf("signature %s, want %s, of\n%s", got, c.want, canonical)
			}
		})
	}
}

func TestSigningKey(t *testing.T) {
	at := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	got := hex.EncodeToString(signingKey("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", scope{"us-east-1", "iam", at}))
	if want := "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
