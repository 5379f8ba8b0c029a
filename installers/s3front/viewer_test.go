package s3front

import (
	"bytes"
	"strings"
	"testing"
)

func TestViewer(t *testing.T) {
	const arn = "arn:aws:acm:us-east-1:123456789012:certificate/a"
	const new = "<ACMCertificateArn>" + arn + "</ACMCertificateArn><SSLSupportMethod>sni-only</SSLSupportMethod><MinimumProtocolVersion>TLSv1.2_2021</MinimumProtocolVersion>"
	for _, c := range []struct{ name, doc, want string }{
		{"empty", "<DistributionConfig><A/><ViewerCertificate/><B/></DistributionConfig>", "<DistributionConfig><A/><ViewerCertificate>" + new + "</ViewerCertificate><B/></DistributionConfig>"},
		{"none", "<DistributionConfig><A/>\n</DistributionConfig>", "<DistributionConfig><A/>\n<ViewerCertificate>" + new + "</ViewerCertificate></DistributionConfig>"},
		{
			"with what is not known",
			"<DistributionConfig><ViewerCertificate x='/' ><New a=\"&gt;\">é</New><Certificate>x</Certificate><!-- --></ViewerCertificate></DistributionConfig>\n",
			"<DistributionConfig><ViewerCertificate x='/' >" + new + "<New a=\"&gt;\">é</New></ViewerCertificate></DistributionConfig>\n",
		},
		{
			"two at once",
			"<DistributionConfig><ViewerCertificate><ACMCertificateArn>" + arn + "</ACMCertificateArn><IAMCertificateId>x</IAMCertificateId></ViewerCertificate></DistributionConfig>",
			"<DistributionConfig><ViewerCertificate>" + new + "</ViewerCertificate></DistributionConfig>",
		},
		{
			"static addresses",
			"<DistributionConfig><ViewerCertificate><IAMCertificateId>x</IAMCertificateId><SSLSupportMethod>vip</SSLSupportMethod></ViewerCertificate></DistributionConfig>",
			"<DistributionConfig><ViewerCertificate>" + strings.Replace(new, "sni-only", "vip", 1) + "</ViewerCertificate></DistributionConfig>",
		},
	} {
		v, err := parseViewer([]byte(c.doc))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := string(v.replace([]byte(c.doc), v.with(arn, "TLSv1.2_2021"))); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.name, got, c.want)
		}
		if v.shows(arn) {
			t.Errorf("%s shows it before", c.name)
		}
	}
}

func TestViewerRefuses(t *testing.T) {
	for says, doc := range map[string]string{
		"no DistributionConfig":          "",
		"begins with Error":              "<Error/>",
		"begins with Distribut":          "<x:DistributionConfig xmlns:x='y'></x:DistributionConfig>",
		"more than one":                  "<DistributionConfig><ViewerCertificate/><ViewerCertificate/></DistributionConfig>",
		"another namespace":              "<DistributionConfig xmlns:x='y'><x:ViewerCertificate/></DistributionConfig>",
		"two of ACMCert":                 "<DistributionConfig><ViewerCertificate><ACMCertificateArn/><ACMCertificateArn/></ViewerCertificate></DistributionConfig>",
		"document type":                  "<!DOCTYPE x [<!ENTITY e 'f'>]><DistributionConfig/>",
		"it is empty":                    "<DistributionConfig/>",
		"syntax error":                   "<DistributionConfig><ViewerCertificate></DistributionConfig>",
		"invalid character":              "<DistributionConfig><A>&e;</A></DistributionConfig>",
		"too deeply":                     "<DistributionConfig>" + strings.Repeat("<a>", 300),
		"begins with DistributionConfig": "<DistributionConfig><A/></DistributionConfig><DistributionConfig></DistributionConfig>",
	} {
		if _, err := parseViewer([]byte(doc)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// Whatever the document: outside of the element no byte changes, what comes out can be
// read again and shows the certificate, and putting the old element back gives the old
// document.
func FuzzViewer(f *testing.F) {
	for _, seed := range []string{
		fakeConfig, "<DistributionConfig><A/><ViewerCertificate/></DistributionConfig>", "<DistributionConfig>\r\n<A b='>'/></DistributionConfig>",
		"<DistributionConfig><ViewerCertificate><X><![CDATA[</ViewerCertificate>]]></X></ViewerCertificate></DistributionConfig>",
		"<?xml version='1.0' encoding='utf-8'?><DistributionConfig><ViewerCertificate a=\"<\"/></DistributionConfig>",
	} {
		f.Add([]byte(seed), "arn:aws:acm:us-east-1:123456789012:certificate/a")
	}
	f.Fuzz(func(t *testing.T, doc []byte, arn string) {
		v, err := parseViewer(doc)
		if err != nil || !arnForm.MatchString(arn) {
			return
		}
		edited := v.replace(doc, v.with(arn, "TLSv1.2_2021"))
		again, err := parseViewer(edited)
		if err != nil {
			t.Fatalf("%v\n%q\n%q", err, doc, edited)
		}
		if !again.shows(arn) || !bytes.Equal(again.rest, v.rest) || again.known[support] == "" {
			t.Fatalf("%q\n%q", doc, edited)
		}
		if back := again.replace(edited, v.element(doc)); !bytes.Equal(back, doc) {
			t.Fatalf("%q\n%q", doc, back)
		}
	})
}

// Errors of services are read whatever they are, and quoted on one short line.
func FuzzFailure(f *testing.F) {
	for _, seed := range []string{
		`{"__type":"com.amazonaws.certificatemanager#ValidationException","message":"no"}`, `{"__type":"X","Message":"a\nb"}`,
		"<Error><Code>NoSuchBucket</Code><Message>x</Message></Error>", "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: x</Message></Error></ErrorResponse>",
		"", "<", "null", "<Code><Code>", "504 Gateway",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		code, message := parseFailure(body)
		says := (&failure{service: "acm", asked: "X", status: 400, code: plain(code, 60), message: plain(message, 300)}).Error()
		if len(says) > 420 || strings.ContainsAny(says, "\r\n\x00") {
			t.Errorf("%q", says)
		}
	})
}

func TestParseFailure(t *testing.T) {
	for body, want := range map[string]string{
		`{"__type":"com.amazonaws.certificatemanager#ValidationException","message":"no"}`: "ValidationException no",
		`{"__type":"X","Message":"m"}`: "X m",
		"<Error><Code>NoSuchBucket</Code><Message>x</Message><BucketName>b</BucketName></Error>":                               "NoSuchBucket x",
		"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: x</Message></Error></ErrorResponse>": "AccessDenied User: x",
		"<html>": " ",
	} {
		if code, message := parseFailure([]byte(body)); code+" "+message != want {
			t.Errorf("%s: %q %q", body, code, message)
		}
	}
}
