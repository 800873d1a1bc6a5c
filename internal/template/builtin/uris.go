package builtin

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"vitrine/internal/template/tree"
)

// parseURI takes a URI apart (learn.microsoft.com, "String functions for Bicep"): the port is null where it is the scheme's own, the
// query begins with "?".
func parseURI(s string) (any, error) {
	u, err := url.Parse(s)
	if err != nil || !u.IsAbs() || u.Hostname() == "" {
		return nil, fmt.Errorf("it is no absolute URI")
	}
	var port any
	if text := u.Port(); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("the port '%s' is none", text)
		}
		if int64(n) != usualPort(u.Scheme) {
			port = int64(n)
		}
	}
	query := u.RawQuery
	if query != "" {
		query = "?" + query
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return tree.ObjectOf("scheme", strings.ToLower(u.Scheme), "host", host, "port", port, "path", path, "query", query), nil
}

func usualPort(scheme string) int64 {
	return map[string]int64{"http": 80, "https": 443, "ftp": 21, "ws": 80, "wss": 443}[strings.ToLower(scheme)]
}

// buildURI puts a URI together from what parseURI answers. Scheme, host and path must be there.
func buildURI(c *Call) (any, error) {
	o, err := c.Object(0)
	if err != nil {
		return nil, err
	}
	text := map[string]string{}
	for _, name := range []string{"scheme", "host", "path", "query"} {
		v, there := o.Get(name)
		s, isText := v.(string)
		switch {
		case v == nil && (name == "query" || name == "path" && there):
		case !isText, s == "" && (name == "scheme" || name == "host"):
			return nil, c.Fail("expects an object whose member '%s' is a string", name)
		}
		text[name] = s
	}
	authority := text["host"]
	switch port, _ := o.Get("port"); n := port.(type) {
	case nil:
	case int64:
		if n < 0 || n > 65535 {
			return nil, c.Fail("expects an object whose member 'port' is an integer from 0 to 65535")
		}
		if n != usualPort(text["scheme"]) {
			authority += ":" + strconv.FormatInt(n, 10)
		}
	default:
		return nil, c.Fail("expects an object whose member 'port' is an integer from 0 to 65535")
	}
	out := text["scheme"] + "://" + authority + "/" + strings.TrimPrefix(text["path"], "/")
	if q := strings.TrimPrefix(text["query"], "?"); q != "" {
		out += "?" + q
	}
	u, err := url.Parse(out)
	if err != nil || !strings.EqualFold(u.Scheme, text["scheme"]) || !strings.EqualFold(u.Host, authority) || u.User != nil {
		return nil, c.Fail("expects the parts of a URI; these make none")
	}
	return out, nil
}
