package s3front

import (
	"context"
	"crypto/x509"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
)

const name = "s3front"

// Options are what targets and authenticators are made of.
type Options struct {
	Env *target.Env

	// Of the installer.
	Distribution string
	ARN          string // of a certificate in ACM; empty: it is found, or made
	MinProtocol  string // that a distribution gets at least: "TLSv1.2_2021"
	Within       time.Duration
	Settings     string // as in delivery.Target
	// At is where CloudFront is asked for its certificate; nil: at the distribution's own
	// domain name.
	At []installers.Endpoint
	// Lookup finds the addresses of a host; nil: the resolver of the system.
	Lookup func(ctx context.Context, host string) ([]string, error)

	// Of the authenticator.
	Bucket, Region, Directory, ACL string
	SelfCheck                      bool

	// ACM, CloudFront and S3 are where the services are; empty: those of AWS.
	ACM, CloudFront, S3 string
	Roots               *x509.CertPool // nil: the system's
	Timeout             time.Duration  // of one request; zero: 30 seconds

	Profile string
	// Told returns the access key of the settings, if there is one; nil: there is none.
	Told func() (id, secret string, err error)
}

func (o *Options) credentials() *chain {
	told := o.Told
	if told == nil {
		told = func() (string, string, error) { return "", "", nil }
	}
	return &chain{
		told: told, profile: o.Profile, getenv: o.Env.Getenv, dial: o.Env.Dial, transport: o.Env.Transport, now: o.Env.Now, log: o.Env.Log,
	}
}

// Kind describes S3 and CloudFront.
func Kind() target.Kind {
	return target.Kind{
		Name: name, Description: "Amazon CloudFront with certificates in ACM, and S3 for HTTP-01",
		Aliases:  []string{"certbot-s3front:auth", "certbot-s3front:installer"},
		Settings: settings(),
		Target: func(_ context.Context, v target.Values, env *target.Env) (delivery.Target, error) {
			return NewTarget(options(v, env))
		},
		Authenticator: func(_ context.Context, v target.Values, env *target.Env) (target.Authenticator, error) {
			return NewAuthenticator(options(v, env))
		},
	}
}

func settings() []target.Setting {
	return []target.Setting{
		{Name: "distribution", Doc: "id of the CloudFront distribution", Must: true, Installs: true,
			Old: []string{"certbot-s3front:installer-cf-distribution-id"}, Env: []string{"CF_DISTRIBUTION_ID"}},
		{Name: "certificate_arn", Doc: "certificate of ACM in us-east-1 that is replaced; else the one of the last delivery, or a new one", Installs: true},
		{Name: "min_protocol", Doc: "security policy that the distribution gets at least, when it gets the certificate", Default: "TLSv1.2_2021", Choices: protocols(), Installs: true},
		{Name: "within", Type: target.Duration, Doc: "how long CloudFront may take to show it", Default: "15m", Installs: true},
		{Name: "bucket", Doc: "bucket that the site is served from", Must: true, Proves: true,
			Old: []string{"certbot-s3front:auth-s3-bucket"}, Env: []string{"S3_BUCKET"}},
		{Name: "region", Doc: "region of the bucket", Default: "us-east-1", Proves: true, Old: []string{"certbot-s3front:auth-s3-region"}},
		{Name: "directory", Doc: "folder of the bucket that the site is served from", Proves: true, Old: []string{"certbot-s3front:auth-s3-directory"}},
		{Name: "acl", Doc: "access control list of the answers, for buckets that still have such", Choices: []string{"public-read"}, Proves: true},
		{Name: "self_check", Type: target.Bool, Doc: "ask the site for the answer before the CA does", Default: "true", Proves: true},
		{Name: "s3_endpoint", Doc: "address of another store that speaks S3", Proves: true},
		{Name: "profile", Doc: "profile in ~/.aws/credentials or ~/.aws/config; else AWS_PROFILE"},
		{Name: "access_key_id", Doc: "id of an access key; else the environment, a profile, or the role of the machine"},
		{Name: "secret_access_key", Type: target.Secret, Doc: "secret of the access key"},
	}
}

func options(v target.Values, env *target.Env) Options {
	return Options{
		Env:          env,
		Distribution: v.Text("distribution"), ARN: v.Text("certificate_arn"), MinProtocol: v.Text("min_protocol"),
		Within: v.Duration("within"), Settings: v.String(),
		Bucket: v.Text("bucket"), Region: v.Text("region"), Directory: v.Text("directory"), ACL: v.Text("acl"),
		SelfCheck: v.Bool("self_check"), S3: v.Text("s3_endpoint"), Profile: v.Text("profile"),
		Told: func() (string, string, error) {
			secret, err := v.Secret("secret_access_key")
			return v.Text("access_key_id"), secret, err
		},
	}
}
