package delivery

import (
	"slices"
	"strings"
	"testing"
	"time"

	"edge/internal/edgetest"
)

func TestWhole(t *testing.T) {
	made := func() *Material {
		m, err := NewMaterial("a", edgetest.NewChain(t, time.Now().Add(time.Hour), "a.test"), nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	other := made()
	for says, change := range map[string]func(m *Material){
		"":                           func(*Material) {},
		"private key does not match": func(m *Material) { m.KeyPEM = other.KeyPEM },
		"does not begin with its leaf": func(m *Material) {
			m.FullChainPEM, m.KeyPEM = other.FullChainPEM, other.KeyPEM
		},
		"are not those of the full chain": func(m *Material) { m.ChainPEM = nil },
		"the leaf alone is not": func(m *Material) {
			m.CertPEM, m.ChainPEM = nil, slices.Clone(m.FullChainPEM)
		},
	} {
		m := made()
		change(m)
		if err := m.Whole(); (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}
