package display

import (
	"context"
	"errors"
	"slices"
	"strings"
)

const noNames = refused("Please specify --domains, or --installer that will help in domain names autodiscovery, " +
	"or --cert-name for an existing certificate name.")

// ChooseNames asks which of the names that a server is configured with are meant,
// or, where there are none, for names. Question may be empty for certbot's. Check
// returns a name in the form to use, or what is wrong with it; names of the server
// that it refuses are not offered. No names at all is an error that wraps
// ErrCancelled.
func ChooseNames(ctx context.Context, d Display, names []string, question string, check func(string) (string, error)) ([]string, error) {
	var offered []string
	for _, n := range names {
		if clean, err := check(n); err == nil {
			offered = append(offered, clean)
		}
	}
	if len(offered) == 0 {
		return enterNames(ctx, d, check)
	}
	if question == "" {
		question = "Which names would you like to activate HTTPS for?\n" +
			"We recommend selecting either all domains, or all domains in a VirtualHost/server block."
	}
	slices.SortStableFunc(offered, byDomain)
	chosen, err := d.Checklist(ctx, question, slices.Compact(offered), ChecklistOptions{Always: true, Flag: "--domains"})
	if errors.Is(err, ErrCancelled) {
		err = noNames
	}
	return chosen, err
}

// byDomain sorts names of one domain together. The last label does not count, as
// with certbot, but decides between names that are the same otherwise, so that a
// list has one order only.
func byDomain(a, b string) int {
	la, lb := labels(a), labels(b)
	if c := slices.Compare(la[1:], lb[1:]); c != 0 {
		return c
	}
	return strings.Compare(la[0], lb[0])
}

// labels are the labels of a name from the last to the first.
func labels(name string) []string {
	l := strings.Split(name, ".")
	slices.Reverse(l)
	return l
}

// enterNames asks for names to be typed.
func enterNames(ctx context.Context, d Display, check func(string) (string, error)) ([]string, error) {
	for {
		line, err := d.Input(ctx, "Please enter the domain name(s) you would like on your certificate (comma and/or space separated)",
			InputOptions{Always: true, Flag: "--domains"})
		if errors.Is(err, ErrCancelled) {
			err = noNames
		}
		if err != nil {
			return nil, err
		}
		names, problems := checkNames(splitList(line), check)
		if problems == "" {
			if len(names) == 0 {
				return nil, noNames
			}
			return names, nil
		}
		again, err := d.YesNo(ctx, "One or more of the entered domain names was not valid:\n\n"+problems+"\nWould you like to re-enter the names?\n",
			"Yes", "No", YesNoOptions{Always: true})
		if err != nil {
			return nil, err
		}
		if !again {
			return nil, noNames
		}
	}
}

func checkNames(typed []string, check func(string) (string, error)) (names []string, problems string) {
	seen := map[string]bool{}
	for _, n := range typed {
		if seen[n] {
			continue
		}
		seen[n] = true
		clean, err := check(n)
		switch {
		case err != nil:
			problems += CleanLine(n) + ": " + CleanLine(err.Error()) + "\n"
		case !slices.Contains(names, clean):
			names = append(names, clean)
		}
	}
	return names, problems
}

// ChooseValues asks for one or more of several values. Nobody chosen, or cancelled,
// is an error that wraps ErrCancelled.
func ChooseValues(ctx context.Context, d Display, question string, values []string) ([]string, error) {
	return d.Checklist(ctx, question, values, ChecklistOptions{Always: true})
}
