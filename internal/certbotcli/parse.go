package certbotcli

import (
	"path/filepath"
	"slices"
)

// Parse reads a command line, without the name of the program, and the
// configuration files that go with it. The error is a *UsageError, a
// *RefusedError, a *HelpRequest or a *VersionRequest.
func Parse(args []string, env Env) (*Options, error) {
	args = slices.Clone(args)
	if len(args) > 0 && args[0] == "help" {
		args[0] = "--help"
	}
	if i := slices.IndexFunc(args, func(a string) bool { return a == "-h" || a == "--help" }); i >= 0 {
		return nil, helpFor(args, i, env)
	}
	s := newSchema(env)
	o := s.defaults.Clone()
	o.schema, o.source = s, map[string]Source{}
	args = o.takeVerb(args)
	p := newParser(s, o, s.flags)
	if o.Verb == "certonly" { // where certonly --csr saves to
		o.CertPath, o.FullchainPath, o.ChainPath = "cert.pem", "chain.pem", "chain.pem"
	}
	words := make([]word, len(args))
	for i, a := range args {
		words[i] = word{a, CommandLine}
	}
	words, err := p.configure(words)
	if err != nil {
		return nil, err
	}
	extra, err := p.run(words)
	if err != nil {
		return nil, err
	}
	if len(extra) > 0 {
		return nil, p.unrecognized(extra)
	}
	if o.Verb == "" {
		program := env.program()
		return nil, &UsageError{Message: "no command given", Hint: program + " --help commands lists them", program: program}
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	return o, nil
}

// takeVerb removes the first word that is a verb, wherever it is: certbot takes
// the value of a flag for one just as well.
func (o *Options) takeVerb(args []string) []string {
	for i, a := range args {
		if verb, ok := verbOf(a); ok {
			o.Verb = verb
			return slices.Delete(args, i, i+1)
		}
	}
	if o.env.AsCertbot {
		o.Verb = "run"
	}
	return args
}

// helpFor says what help is about: the topic behind --help, else the verb that is
// among the words.
func helpFor(args []string, i int, env Env) error {
	if i+1 < len(args) {
		if topic, ok := topicOf(args[i+1], env.kinds()); ok {
			return &HelpRequest{Topic: topic}
		}
	}
	for _, a := range args {
		if verb, ok := verbOf(a); ok {
			return &HelpRequest{Topic: verb}
		}
	}
	return &HelpRequest{}
}

// absolute makes a path absolute, and leaves an empty one.
func absolute(paths ...*string) error {
	for _, path := range paths {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return &RefusedError{err.Error()}
		}
		*path = abs
	}
	return nil
}
