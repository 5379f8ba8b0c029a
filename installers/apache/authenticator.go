package apache

import "edge/installers/answer"

// AuthenticatorOptions say how control of names is proved.
type AuthenticatorOptions = answer.Options

// Authenticator returns one that has this Apache answer.
func (a *Apache) Authenticator(o AuthenticatorOptions) *answer.Authenticator {
	return answer.New(a, a.planAnswers, o)
}
