package s3blob

import (
	"bufio"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"

	"vitrine/internal/blob"
)

// DefaultRegion is what requests are signed for when nothing else is said; most servers other than Amazon's take any.
const DefaultRegion = "us-east-1"

// Config says where objects lie. It has no secrets: these are read from the environment or a file when they are needed.
type Config struct {
	Endpoint    string // host, or host:port
	Bucket      string
	Prefix      string // folders below which our keys stand; may be empty
	Region      string // that requests are signed for
	Virtual     bool   // the bucket is part of the host's name
	Plain       bool   // HTTP without TLS
	CAFile      string // PEM; empty: the system's authorities
	Credentials string // a file in the form of ~/.aws/credentials; empty: the environment
	Profile     string // in that file; empty: default
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// Parse reads an address:
//
//	s3://BUCKET[/PREFIX]?endpoint=HOST[:PORT]&region=R&ca=FILE&credentials=FILE&profile=P&lookup=path|virtual
//
// Without an endpoint it is Amazon's. TLS is used unless the endpoint says http://, which is for a loopback address, or for any
// with insecure=true besides.
func Parse(address string) (Config, error) {
	c, err := parse(address)
	if err != nil {
		return Config{}, fmt.Errorf("object store: %w", err) // not the address: it may have what ought not to be there
	}
	return c, nil
}

func parse(address string) (Config, error) {
	u, err := url.Parse(address)
	if err != nil {
		return Config{}, errors.New("it is not a URL")
	}
	if u.Scheme != "s3" || u.Opaque != "" || u.Fragment != "" {
		return Config{}, errors.New("it must be s3://BUCKET[/PREFIX][?endpoint=HOST]")
	}
	if u.User != nil {
		return Config{}, errors.New("it has credentials in it, which others see in the list of processes; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or credentials=FILE")
	}
	c := Config{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), Region: DefaultRegion}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Config{}, errors.New("what follows the question mark is not key=value&…")
	}
	insecure := false
	for name, values := range query {
		if len(values) != 1 {
			return Config{}, fmt.Errorf("%.40q is said %d times", name, len(values))
		}
		if insecure, err = c.set(name, values[0], insecure); err != nil {
			return Config{}, err
		}
	}
	if c.Endpoint == "" {
		c.Endpoint, c.Virtual = "s3."+c.Region+".amazonaws.com", true
	}
	if c.Plain && !insecure && !loopback(c.Endpoint) {
		return Config{}, fmt.Errorf("http://%s has no TLS: whoever is on the way reads and changes bytes; say insecure=true if that is meant", c.Endpoint)
	}
	return c, c.check()
}

func (c *Config) set(name, value string, insecure bool) (bool, error) {
	switch name {
	case "endpoint":
		scheme, host, found := strings.Cut(value, "://")
		if !found {
			scheme, host = "https", value
		}
		if scheme != "https" && scheme != "http" {
			return insecure, fmt.Errorf("the endpoint's scheme is https or http, not %.40q", scheme)
		}
		c.Endpoint, c.Plain = strings.TrimSuffix(host, "/"), scheme == "http"
	case "region":
		c.Region = value
	case "ca":
		c.CAFile = value
	case "credentials":
		c.Credentials = value
	case "profile":
		c.Profile = value
	case "lookup":
		if value != "path" && value != "virtual" {
			return insecure, fmt.Errorf("lookup is path or virtual, not %.40q", value)
		}
		c.Virtual = value == "virtual"
	case "insecure":
		if value != "true" && value != "false" {
			return insecure, fmt.Errorf("insecure is true or false, not %.40q", value)
		}
		return value == "true", nil
	default:
		return insecure, fmt.Errorf("%.40q is not known here (endpoint, region, ca, credentials, profile, lookup, insecure)", name)
	}
	return insecure, nil
}

func (c Config) check() error {
	if !bucketName.MatchString(c.Bucket) {
		return fmt.Errorf("%.80q is not the name of a bucket", c.Bucket)
	}
	if c.Prefix != "" {
		if err := blob.CheckKey(c.Prefix); err != nil || len(c.Prefix) > 256 {
			return fmt.Errorf("prefix %.80q: at most 256 bytes, segments of a-z 0-9 . _ - and none that begins with a dot", c.Prefix)
		}
	}
	if c.Endpoint == "" || strings.ContainsAny(c.Endpoint, "/?#@ ") {
		return fmt.Errorf("endpoint %.80q is not HOST[:PORT]", c.Endpoint)
	}
	if c.Plain && c.CAFile != "" {
		return errors.New("ca= is for TLS, and the endpoint is http://")
	}
	if c.Region == "" {
		return errors.New("a region is needed")
	}
	return nil
}

func loopback(endpoint string) bool {
	a, err := netip.ParseAddrPort(endpoint)
	return err == nil && a.Addr().IsLoopback()
}

func (c Config) roots() (*x509.CertPool, error) {
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("s3: authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("s3: authorities: %s has no certificate", c.CAFile)
	}
	return pool, nil
}

// credentials finds the pair. Its errors never repeat what a file says.
func (c Config) credentials() (pair, error) {
	if c.Credentials == "" {
		p := environment()
		if p.id == "" || p.secret == "" {
			return pair{}, errors.New("s3: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or credentials=FILE")
		}
		return p, nil
	}
	f, err := os.Open(c.Credentials)
	if err != nil {
		return pair{}, fmt.Errorf("s3: credentials: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return pair{}, fmt.Errorf("s3: credentials: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return pair{}, fmt.Errorf("s3: credentials: others may read %s (mode %#o); it must be 0600", c.Credentials, st.Mode().Perm())
	}
	profile := c.Profile
	if profile == "" {
		profile = "default"
	}
	p, err := section(bufio.NewScanner(f), profile)
	if err == nil && (p.id == "" || p.secret == "") {
		err = fmt.Errorf("it has no aws_access_key_id and aws_secret_access_key in [%s]", profile)
	}
	if err != nil {
		return pair{}, fmt.Errorf("s3: credentials: %s: %w", c.Credentials, err)
	}
	return p, nil
}

// section reads one profile of a file such as ~/.aws/credentials; programs that such a file may name are not run.
func section(lines *bufio.Scanner, profile string) (p pair, err error) {
	inside := false
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			inside = strings.TrimSpace(strings.Trim(line, "[]")) == profile
			continue
		}
		name, value, found := strings.Cut(line, "=")
		if !inside || !found {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			p.id = value
		case "aws_secret_access_key":
			p.secret = value
		case "aws_session_token":
			p.token = value
		}
	}
	if lines.Err() != nil {
		return pair{}, errors.New("it cannot be read as lines")
	}
	return p, nil
}
