package nginx

import "edge/installers/answer"

// AuthenticatorOptions say how control of names is proved.
type AuthenticatorOptions = answer.Options

// Authenticator returns one that has this nginx answer.
func (n *Nginx) Authenticator(o AuthenticatorOptions) *answer.Authenticator {
	return answer.New(n, n.planAnswers, o)
}
