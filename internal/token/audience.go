package token

import (
	"strings"

	"github.com/google/uuid"
)

// API is what a token is for.
type API string

// The APIs for which there are tokens.
const (
	ARM         API = "ARM"
	Graph       API = "Graph"
	Storage     API = "Storage"
	Application API = "Application" // one that is registered here; its audience is its client ID
)

// A Resource is a requested resource that was understood.
type Resource struct {
	API      API
	Audience string // what becomes aud
	AppID    string // the client ID of the resource
}

// The client IDs of Microsoft's services, which Azure documents for consent; a client may ask for a token by them.
const (
	armAppID     = "797f4846-ba00-4fd7-ba43-dac1f8f63013"
	graphAppID   = "00000003-0000-0000-c000-000000000000"
	storageAppID = "e406a681-f3d4-42a8-90b6-c2b029497af1"
)

// ParseResource understands the name of a resource, as in the parameter resource of the v1 endpoint or in a scope of the
// v2 endpoint without its "/.default". As in Entra the name becomes the audience as it was asked for: the scope
// "https://management.core.windows.net//.default" that az sends asks for "https://management.core.windows.net/", and
// "https://management.azure.com/.default" for "https://management.azure.com". Host and scheme lose their case, and of
// several slashes at the end one stays.
func ParseResource(name string) (Resource, bool) {
	if r, ok := byAppID(strings.ToLower(name)); ok {
		return r, true
	}
	base := strings.ToLower(strings.TrimRight(name, "/"))
	api, appID := knownHost(base)
	if api == "" {
		return Resource{}, false
	}
	if strings.HasSuffix(name, "/") {
		base += "/"
	}
	return Resource{API: api, Audience: base, AppID: appID}, true
}

func knownHost(base string) (API, string) {
	host, ok := strings.CutPrefix(base, "https://")
	if !ok {
		return "", ""
	}
	switch strings.TrimSuffix(host, ":443") {
	case "management.core.windows.net", "management.azure.com":
		return ARM, armAppID
	case "graph.microsoft.com":
		return Graph, graphAppID
	case "storage.azure.com":
		return Storage, storageAppID
	}
	if account, ok := strings.CutSuffix(host, ".blob.core.windows.net"); ok && isLabel(account) {
		return Storage, storageAppID
	}
	return "", ""
}

// isLabel takes what a storage account's name may be: 3 to 24 lower-case letters and digits.
func isLabel(s string) bool {
	return len(s) >= 3 && len(s) <= 24 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

func byAppID(name string) (Resource, bool) {
	id := strings.TrimPrefix(name, "api://")
	if len(id) != 36 || uuid.Validate(id) != nil {
		return Resource{}, false
	}
	if id == name {
		switch id {
		case armAppID:
			return Resource{ARM, id, id}, true
		case graphAppID:
			return Resource{Graph, id, id}, true
		case storageAppID:
			return Resource{Storage, id, id}, true
		}
	}
	return Resource{Application, name, id}, true
}

// Audiences lists the audiences of an API in the form in which a refusal names them.
func Audiences(api API) []string {
	switch api {
	case ARM:
		return []string{"https://management.core.windows.net/", "https://management.core.windows.net",
			"https://management.azure.com/", "https://management.azure.com"}
	case Graph:
		return []string{"https://graph.microsoft.com/", "https://graph.microsoft.com", graphAppID}
	case Storage:
		return []string{"https://storage.azure.com/", "https://storage.azure.com", "https://<account>.blob.core.windows.net/"}
	}
	return nil
}
