// Package s3front brings certificates to Amazon CloudFront, and answers HTTP-01 from the
// S3 bucket that a site is served from. There is no SDK in it: three services, a dozen
// requests, and the signature of each (sigv4.go).
//
//	Put:  precheck -> GetDistribution -> find the certificate of ACM -> ImportCertificate
//	      -> the distribution shows it? done : edit ViewerCertificate -> UpdateDistribution
//	      (If-Match) -> wait until Deployed
//	Undo: the element of before -> import what was kept
//
// A renewal is imported under the ARN that is there: CloudFront takes it by itself. ACM
// gives no keys back, so what was delivered last is kept by package kept. A distribution's
// configuration is never taken apart and put together again: only the bytes of one
// element are replaced (viewer.go).
package s3front
