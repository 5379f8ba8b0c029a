package pool

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
)

// value is what the cookie says for a server: its name, hidden, and signed, so
// that nobody can choose one.
func (s *Sticky) value(address string) string {
	mac := hmac.New(sha256.New, s.Secret)
	mac.Write([]byte("edge sticky\x00" + address))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:24])
}

func (s *Sticky) is(value, address string) bool {
	return hmac.Equal([]byte(value), []byte(s.value(address)))
}

// cookie is the Set-Cookie field for a value.
func (s *Sticky) cookie(value string) string {
	c := &http.Cookie{Name: s.Cookie, Value: value, Path: "/", HttpOnly: true, Secure: s.Secure, SameSite: http.SameSiteLaxMode, MaxAge: int(s.TTL.Seconds())}
	return strings.TrimSpace(c.String())
}
