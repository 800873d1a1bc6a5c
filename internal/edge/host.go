package edge

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// A Door is a handler with the host names that lead to it.
type Door struct {
	// Name is for logs and messages.
	Name string
	// Hosts are names ("login.microsoftonline.com") or, with a dot in front, everything below a name at any depth
	// (".blob.core.windows.net"), not the name itself.
	Hosts []string
	// Handler gets the door's requests: r.URL.Scheme is "https", and r.URL.Host and r.Host are the host as the client
	// named it, in lower case, without a trailing dot and without the port 443.
	Handler http.Handler
}

// routes finds the door of a host name.
type routes struct {
	exact  map[string]*Door
	suffix map[string]*Door // keys without the dot in front
}

func newRoutes(doors []Door) (*routes, error) {
	rt := &routes{exact: map[string]*Door{}, suffix: map[string]*Door{}}
	for i := range doors {
		for _, pattern := range doors[i].Hosts {
			if err := rt.add(pattern, &doors[i]); err != nil {
				return nil, fmt.Errorf("door %s: %w", doors[i].Name, err)
			}
		}
	}
	return rt, nil
}

func (rt *routes) add(pattern string, d *Door) error {
	table, name := rt.exact, pattern
	if below, ok := strings.CutPrefix(pattern, "."); ok {
		table, name = rt.suffix, below
	}
	name, err := canonicalHost(name)
	if err != nil {
		return err
	}
	if other := table[name]; other != nil {
		return fmt.Errorf("host %q belongs to door %s already", pattern, other.Name)
	}
	table[name] = d
	return nil
}

// door returns nil when no door has this canonical host name. A whole name wins over a suffix, a longer suffix over a
// shorter one.
func (rt *routes) door(host string) *Door {
	if d := rt.exact[host]; d != nil {
		return d
	}
	for {
		_, parent, found := strings.Cut(host, ".")
		if !found {
			return nil
		}
		if d := rt.suffix[parent]; d != nil {
			return d
		}
		host = parent
	}
}

// Domains returns what an authority for these doors and the operator's own domains must be able to vouch for: sorted,
// in lower case, without duplicates and without names that lie below another one. A name covers all that is below it,
// since X.509 knows no other kind of permitted name (RFC 5280, 4.2.1.10).
func Domains(doors []Door, extra []string) ([]string, error) {
	var names []string
	for _, d := range doors {
		names = append(names, d.Hosts...)
	}
	names = append(names, extra...)
	for i, n := range names {
		name, err := canonicalHost(strings.TrimPrefix(n, "."))
		if err != nil {
			return nil, err
		}
		if !strings.Contains(name, ".") && name != "localhost" {
			return nil, fmt.Errorf("domain %q is too wide for a certificate authority: it needs at least two labels", n)
		}
		names[i] = name
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return slices.DeleteFunc(names, func(n string) bool { return coveredByOther(n, names) }), nil
}

func coveredByOther(name string, names []string) bool {
	for {
		_, parent, found := strings.Cut(name, ".")
		if !found {
			return false
		}
		if _, ok := slices.BinarySearch(names, parent); ok {
			return true
		}
		name = parent
	}
}

// canonicalHost lowers a DNS name and takes off one trailing dot (the root). Anything that is not a plain ASCII name,
// addresses included, is an error: what a look-up would read differently than we do must not get that far.
func canonicalHost(host string) (string, error) {
	// Asked first, since strings.ToLower would make ASCII letters of some that are not (the Kelvin sign a k).
	if strings.IndexFunc(host, func(r rune) bool { return r >= 0x80 }) >= 0 {
		return "", fmt.Errorf("host name %q is not ASCII", host)
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "" || len(name) > 253 {
		return "", fmt.Errorf("host name %q is empty or too long", host)
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if !validLabel(label) {
			return "", fmt.Errorf("%q is not a host name", host)
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return "", fmt.Errorf("%q is an address or a number, not a host name", host)
	}
	return name, nil
}

func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for i := range len(label) {
		c := label[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// splitPort parses "host:port" strictly: a port in decimal digits from 1 to 65535, an IPv6 address in brackets.
func splitPort(hostport string) (host string, port uint16, err error) {
	host, p, err := net.SplitHostPort(hostport)
	if err != nil {
		return "", 0, err
	}
	if strings.Trim(p, "0123456789") != "" {
		return "", 0, fmt.Errorf("port %q is not a number", p)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("port %q is out of range", p)
	}
	return host, uint16(n), nil
}

// requestHost parses a Host header: canonical name, and port or 0 when there is none.
func requestHost(header string) (host string, port uint16, err error) {
	if header == "" {
		return "", 0, errors.New("the Host header is missing")
	}
	host = header
	if strings.Contains(header, ":") {
		if host, port, err = splitPort(header); err != nil {
			return "", 0, err
		}
	}
	host, err = canonicalHost(host)
	return host, port, err
}
