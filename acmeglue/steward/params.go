package steward

import (
	"errors"

	"edge/acmeglue/lineage"
	"edge/internal/certbotcli"
	"edge/internal/configobj"
)

// paramsOf is what a renewal file has to say for a lineage to be renewed with
// these options again.
func paramsOf(o *certbotcli.Options) *lineage.Params {
	params, webroots := o.RenewalParams()
	p := &lineage.Params{Renewal: section(params), Edge: section(o.EdgeParams())}
	if webroots != nil {
		m := lineage.Section{}
		for _, w := range webroots {
			m = append(m, lineage.Param{Key: w.Name, Value: configobj.String(w.Path)})
		}
		p.Renewal = append(p.Renewal, lineage.Param{Key: "webroot_map", Sub: m})
	}
	return p
}

func section(params []certbotcli.Param) lineage.Section {
	s := lineage.Section{}
	for _, p := range params {
		s = append(s, lineage.Param{Key: p.Key, Value: p.Value})
	}
	return s
}

// withSaved returns the options with what the renewal file of a lineage has for
// all that was not said now.
func withSaved(o *certbotcli.Options, l *lineage.Lineage) (*certbotcli.Options, error) {
	own, errs := o.ApplyRenewalParams(l.Section("renewalparams"))
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	own, errs = own.ApplyEdgeParams(l.Section("edge"))
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if !own.IsSet("deploy_hook") && own.DeployHook == "" {
		own.DeployHook = own.RenewHook
	}
	own.CertName = l.Name()
	return own, nil
}
