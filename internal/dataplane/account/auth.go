package account

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/dataplane/wire"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// right is what an operation needs, in the three forms in which it may be granted.
type right struct {
	letter  byte   // of a SAS: r a c w d l …
	typ     byte   // of an account SAS: s(ervice), c(ontainer), o(bject)
	action  string // of a role, below the container's type
	data    bool   // it is a data action
	asOwner bool   // no service SAS grants it
	sub     string // the action's sub-operation, of which conditions may ask
}

const (
	containersAction = "Microsoft.Storage/storageAccounts/blobServices/containers"
	blobsAction      = containersAction + "/blobs"
	listing          = "Blob.List" // the sub-operation of blobs/read that conditions tell from reading bytes
	delegationAction = "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action"
)

// proof is what a request has shown. It answers whether the request may do something.
type proof interface {
	may(x *exchange, r right) error
}

func mismatch() error {
	return wire.Fail(http.StatusForbidden, "AuthorizationPermissionMismatch", "This request is not authorized to perform this operation using this permission.")
}

// prove finds out who sent the request.
func (x *exchange) prove() (proof, error) {
	header := x.r.Header.Values("Authorization")
	signed := x.query.Has("sig")
	// What is signed is lines: a parameter of several could pass for others that were signed.
	if (signed || len(header) > 0) && !oneLine(x.query) {
		return nil, wire.Denied("A query parameter holds a line break.")
	}
	switch {
	case len(header) > 1:
		return nil, wire.Denied("The Authorization header is given more than once.")
	case len(header) == 1 && signed:
		return nil, wire.Denied("Both an Authorization header and a signature in the URL are given.")
	case len(header) == 1:
		return x.proveHeader(header[0])
	case signed:
		return x.proveSAS()
	}
	return anonymous{}, nil
}

func oneLine(query url.Values) bool {
	for name, values := range query {
		if strings.ContainsAny(name+strings.Join(values, ""), "\r\n") {
			return false
		}
	}
	return true
}

func (x *exchange) proveHeader(value string) (proof, error) {
	scheme, rest, _ := strings.Cut(value, " ")
	switch {
	case strings.EqualFold(scheme, "SharedKey"):
		return x.proveKey(strings.TrimSpace(rest))
	case strings.EqualFold(scheme, "Bearer"):
		return x.proveToken()
	}
	return nil, wire.Fail(http.StatusBadRequest, "InvalidAuthenticationInfo", "Authentication information is not given in the correct format. Check the value of Authorization header.")
}

// owner has shown one of the account's keys: it may do everything.
type owner struct{}

func (owner) may(*exchange, right) error { return nil }

// skew is how far a signed request's clock may be from ours (the service's 15 minutes).
const skew = 15 * time.Minute

func (x *exchange) proveKey(credential string) (proof, error) {
	name, signature, _ := strings.Cut(credential, ":")
	given, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || !strings.EqualFold(name, x.account.Name) {
		return nil, wire.Denied("The account name or the signature is not well formed.")
	}
	if !x.account.SharedKey {
		return nil, noKeys()
	}
	text := x.r.Header.Get("x-ms-date")
	if text == "" {
		text = x.r.Header.Get("Date")
	}
	date, err := http.ParseTime(text)
	if d := x.now().Sub(date); err != nil || d > skew || d < -skew {
		return nil, wire.Denied("Request date header too old or too new: " + strconv.Quote(text))
	}
	if !x.signedByKey(x.stringToSign(strings.Compare), given) && !x.signedByKey(x.stringToSign(collate), given) {
		return nil, wire.Denied("The MAC signature found in the HTTP request is not the same as any computed signature.")
	}
	return owner{}, nil
}

func noKeys() error {
	return wire.Fail(http.StatusForbidden, "KeyBasedAuthenticationNotPermitted", "Key based authentication is not permitted on this storage account.")
}

// signedByKey compares with both keys' signatures, in constant time.
func (x *exchange) signedByKey(text string, given []byte) bool {
	ok := false
	for _, key := range x.account.Keys {
		if hmac.Equal(mac(key, text), given) {
			ok = true
		}
	}
	return ok
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// collate is the order of header names in which the Python SDK signs since 2023: as bytes, but '_' before the digits.
func collate(a, b string) int {
	low := func(s string) string { return strings.ReplaceAll(s, "_", ".") }
	return strings.Compare(low(a), low(b))
}

// stringToSign is what SharedKey signs (learn.microsoft.com, Authorize with Shared Key), the headers in an order of their names.
func (x *exchange) stringToSign(order func(a, b string) int) string {
	h := x.r.Header
	length := h.Get("Content-Length")
	if length == "" && x.r.ContentLength > 0 { // net/http takes it out of the headers
		length = strconv.FormatInt(x.r.ContentLength, 10)
	}
	if length == "0" {
		length = ""
	}
	date := h.Get("Date")
	if h.Get("x-ms-date") != "" {
		date = ""
	}
	lines := []string{x.r.Method, h.Get("Content-Encoding"), h.Get("Content-Language"), length, h.Get("Content-MD5"), h.Get("Content-Type"),
		date, h.Get("If-Modified-Since"), h.Get("If-Match"), h.Get("If-None-Match"), h.Get("If-Unmodified-Since"), h.Get("Range")}
	own := map[string]string{}
	for name, values := range h {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-ms-") {
			own[lower] = strings.TrimSpace(strings.Join(values, ","))
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(own), order) {
		lines = append(lines, name+":"+own[name])
	}
	lines = append(lines, "/"+x.account.Name+x.r.URL.EscapedPath())
	params := map[string][]string{}
	for name, values := range x.query {
		params[strings.ToLower(name)] = append(params[strings.ToLower(name)], values...)
	}
	names := make([]string, 0, len(params))
	for name := range params {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		slices.Sort(params[name])
		lines = append(lines, name+":"+strings.Join(params[name], ","))
	}
	return strings.Join(lines, "\n")
}

// bearer is a principal that has shown a token for storage; roles decide.
type bearer struct{ authn.Principal }

func (x *exchange) proveToken() (proof, error) {
	caller, err := x.Authn.Authenticate(x.r.Context(), x.r.Header)
	var e *arm.Error
	if errors.As(err, &e) {
		return nil, wire.Fail(http.StatusUnauthorized, "InvalidAuthenticationInfo",
			"Server failed to authenticate the request. Please refer to the information in the www-authenticate header.").Because(err)
	}
	if err != nil {
		return nil, err
	}
	return bearer{caller.Primary}, nil
}

func (b bearer) may(x *exchange, r right) error {
	scope := x.account.ID
	if x.container != "" && (r.typ == 'c' || r.typ == 'o') {
		scope = x.account.ContainerID(x.container)
	}
	check := x.RBAC.CheckWith
	if r.data {
		check = x.RBAC.CheckDataWith
	}
	err := x.Store.View(x.r.Context(), func(tx store.Tx) error {
		return check(tx, b.Principal, r.action, scope, func() rbac.Attributes { return x.attributes(r) })
	})
	var denied *arm.Error
	if errors.As(err, &denied) {
		return mismatch()
	}
	return err
}

// attributes are what conditions of role assignments may ask (learn.microsoft.com: Actions and attributes for Azure role assignment
// conditions for Azure Blob Storage); the names of container and account are in the scope. A listing has no path, and one of
// everything has no prefix: a condition that asks for it does not hold.
func (x *exchange) attributes(r right) rbac.Attributes {
	out := rbac.Attributes{Sub: r.sub}
	if prefix := x.query.Get("prefix"); r.sub == listing && prefix != "" {
		out.Request = map[string][]string{strings.ToLower(blobsAction) + ":prefix": {prefix}}
	}
	if r.typ == 'o' && x.blob != "" {
		out.Resource = map[string][]string{strings.ToLower(blobsAction) + ":path": {x.blob}}
	}
	return out
}

// anonymous has shown nothing: it may read what is public.
type anonymous struct{}

func (anonymous) may(x *exchange, r right) error {
	if x.container == "" || !x.account.PublicOK || r.letter != 'r' && r.letter != 'l' {
		return nothing()
	}
	box, err := x.Accounts.Container(x.r.Context(), x.account, x.container)
	if err != nil || box.Public == "" || box.Public == "None" || r.letter == 'l' && box.Public != "Container" {
		return nothing()
	}
	if r.typ != 'o' && (r.typ != 'c' || box.Public != "Container") {
		return nothing()
	}
	return nil
}

// nothing answers a request without any proof, whatever exists.
func nothing() error {
	return wire.Fail(http.StatusUnauthorized, "NoAuthenticationInformation", "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.")
}

// one gives a query parameter that may be given once.
func one(q url.Values, name string) (string, bool) {
	return q.Get(name), len(q[name]) <= 1
}
