package rest

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"vitrine/internal/graph/wire"
	"vitrine/internal/web"
)

// Route is one thing that can be asked. In its path {} stands for a key.
type Route struct {
	method, path string
	writes       bool
	handle       func(*Call) (Answer, error)
	prepare      func(*Call) error // costly work before the transaction, such as hashing a password
}

// Handler answers a request within its transaction.
type Handler = func(*Call) (Answer, error)

// Get is a route that reads.
func Get(path string, f Handler) Route { return Route{"GET", path, false, f, nil} }

// Post is a route that writes.
func Post(path string, f Handler) Route { return Route{"POST", path, true, f, nil} }

// Ask is a POST that only reads.
func Ask(path string, f Handler) Route { return Route{"POST", path, false, f, nil} }

// Patch is a route that writes.
func Patch(path string, f Handler) Route { return Route{"PATCH", path, true, f, nil} }

// Remove is a DELETE.
func Remove(path string, f Handler) Route { return Route{"DELETE", path, true, f, nil} }

// Preparing adds costly work before the transaction, such as hashing a password.
func (r Route) Preparing(f func(*Call) error) Route { r.prepare = f; return r }

// find matches a request with the table. Names have no case in Graph; keys keep theirs.
func (d *server) find(r *http.Request) (Route, []string, error) {
	segments, err := split(r.URL)
	if err != nil {
		return Route{}, nil, err
	}
	known := false
	for _, candidate := range d.routes {
		args, ok := match(candidate.path, segments)
		if !ok {
			continue
		}
		if candidate.method == r.Method {
			return candidate, args, nil
		}
		known = true
	}
	if known {
		return Route{}, nil, wire.Fail(http.StatusMethodNotAllowed, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
	}
	return Route{}, nil, unknown(segments)
}

// unknown says what is missing here: a part of Graph by its name.
func unknown(segments []string) error {
	return wire.Fail(http.StatusNotImplemented, "NotImplemented", "Microsoft Graph's '/%.200s' is not served by this server. docs/compatibility.md lists what is.",
		strings.ReplaceAll(strings.Join(segments, "/"), keyMark, "="))
}

// keyMark sets an alternate key such as appId='…' apart from an object ID.
const keyMark = "\x00"

var keyed = regexp.MustCompile(`^([A-Za-z]+)\((?:([A-Za-z]+)=)?'((?:[^']|'')*)'\)$`)

const maxSegments = 8

// split cuts the path behind the version. "applications(appId='x')" becomes two segments, as "applications/x" has.
func split(u *url.URL) ([]string, error) {
	var out []string
	raw := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	for _, part := range raw[1:] {
		s, err := url.PathUnescape(part)
		if err != nil || len(s) > 400 || strings.ContainsRune(s, 0) {
			return nil, wire.BadRequest("Bad request path.")
		}
		if s == "" {
			continue
		}
		if m := keyed.FindStringSubmatch(s); m != nil {
			key := strings.ReplaceAll(m[3], "''", "'")
			if m[2] != "" {
				key = m[2] + keyMark + key
			}
			out = append(out, m[1], key)
			continue
		}
		out = append(out, strings.TrimPrefix(s, "microsoft.graph."))
	}
	if len(out) == 0 || len(out) > maxSegments {
		return nil, wire.BadRequest("Resource not found for the segment '%.60s'.", u.Path)
	}
	return out, nil
}

func match(path string, segments []string) (args []string, ok bool) {
	parts := strings.Split(path, "/")
	if len(parts) != len(segments) {
		return nil, false
	}
	for i, part := range parts {
		switch {
		case part == "{}" && segments[i] != "$count" && segments[i] != "delta":
			args = append(args, segments[i])
		case part == "{}" || !strings.EqualFold(part, segments[i]):
			return nil, false
		}
	}
	return args, true
}

// Alternate splits a key of the form property=value.
func Alternate(key string) (property, value string, ok bool) {
	return strings.Cut(key, keyMark)
}

// IsGUID says whether a key has the form of a client ID.
func IsGUID(key string) bool { return web.IsID(key) }
