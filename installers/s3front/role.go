package s3front

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	machineService   = "http://169.254.169.254" // of EC2
	containerService = "http://169.254.170.2"   // of ECS
	roleTimeout      = 2 * time.Second          // of one request: they are answered at once, or never
	maxRole          = 64 << 10                 // bytes of an answer
)

// container gets the credentials of a container's role: ECS, Fargate, EKS Pod Identity.
func (c *chain) container(ctx context.Context) (*credentials, error) {
	at := c.getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
	if relative := c.getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); relative != "" {
		if !strings.HasPrefix(relative, "/") {
			return nil, errors.New("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with a slash")
		}
		at = containerService + relative
	}
	if at == "" {
		return nil, errNone
	}
	if !mayAnswer(at) {
		return nil, errors.New("AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor an address of this machine or of ECS and EKS")
	}
	token := c.getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	if path := c.getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); path != "" {
		raw, err := readProfiles(path)
		if err != nil {
			return nil, fmt.Errorf("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: %w", err)
		}
		token = strings.TrimSpace(string(raw))
	}
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", token)
	}
	raw, err := c.ask(ctx, http.MethodGet, at, header)
	if err != nil {
		return nil, fmt.Errorf("the role of this container: %w", err)
	}
	return parseRole(raw)
}

// mayAnswer says whether credentials may come from there: nobody on the way can change
// them.
func mayAnswer(at string) bool {
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && ip != nil && (ip.IsLoopback() ||
		ip.Equal(net.IPv4(169, 254, 170, 2)) || ip.Equal(net.IPv4(169, 254, 170, 23)) || ip.Equal(net.ParseIP("fd00:ec2::23")))
}

// machine gets the credentials of an EC2 instance's role, by IMDSv2 alone.
func (c *chain) machine(ctx context.Context) (*credentials, error) {
	if strings.EqualFold(c.getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		return nil, errNone
	}
	at := machineService
	if other := c.getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"); other != "" {
		at = strings.TrimSuffix(other, "/")
	}
	token, err := c.ask(ctx, http.MethodPut, at+"/latest/api/token", http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {"600"}})
	if err != nil {
		return nil, errNone // this machine is somewhere else
	}
	header := http.Header{"X-Aws-Ec2-Metadata-Token": {strings.TrimSpace(string(token))}}
	const roles = "/latest/meta-data/iam/security-credentials/"
	name, err := c.ask(ctx, http.MethodGet, at+roles, header)
	if err != nil {
		return nil, fmt.Errorf("the role of this machine: %w; has the instance a profile?", err)
	}
	role, _, _ := strings.Cut(strings.TrimSpace(string(name)), "\n")
	raw, err := c.ask(ctx, http.MethodGet, at+roles+url.PathEscape(role), header)
	if err != nil {
		return nil, fmt.Errorf("the role of this machine: %w", err)
	}
	return parseRole(raw)
}

// parseRole reads the answer of both services. Errors quote nothing of it.
func parseRole(raw []byte) (*credentials, error) {
	var role struct {
		Code, AccessKeyId, SecretAccessKey, Token string
		Expiration                                time.Time
	}
	if err := json.Unmarshal(raw, &role); err != nil {
		return nil, errors.New("the role's credentials are not in the form of AWS")
	}
	if role.Code != "" && role.Code != "Success" || role.AccessKeyId == "" || role.Expiration.IsZero() {
		return nil, fmt.Errorf("the role has no credentials now (%.40q)", role.Code)
	}
	return &credentials{id: role.AccessKeyId, secret: role.SecretAccessKey, session: role.Token, expires: role.Expiration}, nil
}

// ask makes one request to a service of the machine, past proxies.
func (c *chain) ask(ctx context.Context, method, at string, header http.Header) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, roleTimeout, fmt.Errorf("no answer within %v", roleTimeout))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, at, nil)
	if err != nil {
		return nil, err
	}
	r.Header = header
	var transport http.RoundTripper = &http.Transport{DialContext: c.dial, DisableKeepAlives: true, MaxResponseHeaderBytes: maxRole}
	if c.transport != nil {
		transport = c.transport(transport)
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, at, err)
	}
	defer resp.Body.Close() // it was read
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxRole))
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, errors.Join(err, fmt.Errorf("%s %s: %.60q", method, at, resp.Status))
	}
	return raw, nil
}
