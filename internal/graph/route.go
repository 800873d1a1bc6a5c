package graph

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"vitrine/internal/graph/wire"
)

// route is one thing that can be asked. In its path {} stands for a key.
type route struct {
	method, path string
	writes       bool
	handle       func(*call) (answer, error)
	prepare      func(*call) error // costly work before the transaction, such as hashing a password
}

type handler = func(*call) (answer, error)

func get(path string, f handler) route    { return route{"GET", path, false, f, nil} }
func post(path string, f handler) route   { return route{"POST", path, true, f, nil} }
func ask(path string, f handler) route    { return route{"POST", path, false, f, nil} } // a POST that only reads
func patch(path string, f handler) route  { return route{"PATCH", path, true, f, nil} }
func remove(path string, f handler) route { return route{"DELETE", path, true, f, nil} }

func (r route) preparing(f func(*call) error) route { r.prepare = f; return r }

func (d *door) table() []route {
	all := d.applicationRoutes()
	for _, more := range [][]route{d.principalRoutes(), d.userRoutes(), d.groupRoutes(), d.objectRoutes(), d.roleRoutes(), d.deletedRoutes()} {
		all = append(all, more...)
	}
	return all
}

// find matches a request with the table. Names have no case in Graph; keys keep theirs.
func (d *door) find(r *http.Request) (route, []string, error) {
	segments, err := split(r.URL)
	if err != nil {
		return route{}, nil, err
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
		return route{}, nil, wire.Fail(http.StatusMethodNotAllowed, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
	}
	return route{}, nil, unknown(segments)
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

// alternate splits a key of the form property=value.
func alternate(key string) (property, value string, ok bool) {
	return strings.Cut(key, keyMark)
}
