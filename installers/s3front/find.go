package s3front

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"edge/installers/delivery"
	"edge/installers/kept"
)

// find is the certificate of ACM in whose place this one goes, nil where there is none:
// the one of the settings, the one of the last delivery, the one that the distribution
// shows, or one with exactly the same names. But for the settings', it was imported here
// for the same lineage.
func (t *Target) find(ctx context.Context, d *distribution, m *delivery.Material, last string) (*stored, error) {
	leaf := m.Certs[0]
	if t.o.ARN != "" {
		has, err := t.acm.get(ctx, t.o.ARN)
		if err != nil {
			return nil, err
		}
		if was, is := kind(has.leaf), kind(leaf); was != is { // the rest is for ACM to say
			return nil, fmt.Errorf("the certificate cannot take the place of %s in ACM: it has a key of another kind (%s, was %s); leave certificate_arn out, a new one is made then", t.o.ARN, is, was)
		}
		return has, nil
	}
	candidates := []string{last, d.Config.Viewer.ACMCertificateArn}
	for i := 0; ; i++ {
		if i == len(candidates) {
			if i > 2 {
				return nil, nil
			}
			more, err := t.acm.like(ctx, leaf.DNSNames)
			if err != nil || len(more) == 0 {
				return nil, err
			}
			candidates = append(candidates, more...)
		}
		has, err := t.candidate(ctx, candidates[i], leaf, i > 1)
		if err != nil || has != nil {
			return has, err
		}
	}
}

// candidate is a certificate of ACM that was imported here for this lineage and in whose
// place a leaf may go; nil where it is another's.
func (t *Target) candidate(ctx context.Context, arn string, leaf *x509.Certificate, exactly bool) (*stored, error) {
	if !arnForm.MatchString(arn) {
		return nil, nil
	}
	ours, err := t.acm.ours(ctx, arn, t.o.Env.Name)
	if err != nil || !ours {
		return nil, err
	}
	has, err := t.acm.get(ctx, arn)
	switch {
	case errors.Is(err, errMissing):
		return nil, nil
	case err != nil:
		return nil, err
	case !fits(has.leaf, leaf):
		return nil, nil
	case exactly && !slices.Equal(nameSet(has.leaf.DNSNames), nameSet(leaf.DNSNames)):
		return nil, nil
	}
	return has, nil
}

// keptAs is where the pairs are kept that were put under an ARN last.
func (t *Target) keptAs(arn string) *kept.Both {
	return kept.NewBoth(kept.File{Dir: t.o.Env.State, Kind: name, Name: t.o.Env.Name, Where: arn, Durable: t.o.Env.Durable})
}
