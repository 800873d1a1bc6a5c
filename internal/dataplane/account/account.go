package account

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"vitrine/internal/authn"
	"vitrine/internal/dataplane/wire"
	"vitrine/internal/provider/storage"
	"vitrine/internal/provider/storage/content"
	"vitrine/internal/quota"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// Config is what the door works with.
type Config struct {
	Accounts *storage.Provider
	Blobs    *content.Store
	Store    *store.Store
	RBAC     *rbac.Engine
	Authn    *authn.Authenticator // for the audience Storage
	Now      func() time.Time     // nil: time.Now
}

type door struct {
	Config
	bodies wire.Turns // by account
}

// MaxBody is the most that one request may send: a Put Blob of the service has 5,000 MiB.
const MaxBody = 5000 << 20

// At most so many bodies are being read at once, of whose each up to 8 MiB are in memory; and of one account, so that it leaves
// room for others.
const maxBodies, maxOfAccount = 64, 32

// New gives the door's handler. The server before it must bound how long a body may take.
func New(c Config) http.Handler {
	if c.Now == nil {
		c.Now = time.Now
	}
	d := &door{Config: c, bodies: wire.Turns{All: maxBodies, Each: maxOfAccount}}
	return wire.Handler(c.Now, d.serve)
}

// exchange is one request to an account.
type exchange struct {
	*door
	w         http.ResponseWriter
	r         *http.Request
	query     url.Values
	account   storage.Account
	what      string // the operation is on: "account", "service", "container" or "blob"
	container string
	blob      string
	proof     proof
}

func (x *exchange) now() time.Time { return x.Now() }

func (d *door) serve(w http.ResponseWriter, r *http.Request) error {
	wire.SetHeaders(w.Header(), r, d.Now())
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badQuery("")
	}
	x := &exchange{door: d, w: w, r: r, query: query}
	if err := x.locate(); err != nil {
		return err
	}
	if x.proof, err = x.prove(); err != nil {
		challenge(w.Header(), err, x.account)
		return err
	}
	err = x.dispatch()
	var refused *content.Error
	var exceeded *quota.Exceeded
	switch told := (*wire.Error)(nil); {
	case errors.As(err, &told):
	case errors.As(err, &refused):
		err = worded(refused.Code).Because(err)
	case errors.As(err, &exceeded): // without the numbers, which are the tenant's affair and not of whoever has a signed URL
		err = worded("QuotaExceeded").Because(err)
	}
	challenge(w.Header(), err, x.account)
	return err
}

// challenge says where a token is to be had, with a refusal for want of one.
func challenge(h http.Header, err error, a storage.Account) {
	var e *wire.Error
	if errors.As(err, &e) && e.Status() == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer authorization_uri=https://login.microsoftonline.com/common/oauth2/authorize resource_id=https://storage.azure.com")
	}
}

// locate finds the account by the host, and container and blob by the path.
func (x *exchange) locate() error {
	host, _, _ := strings.Cut(x.r.Host, ":")
	name, _, _ := strings.Cut(strings.ToLower(host), ".")
	var err error
	x.account, err = x.Accounts.Find(x.r.Context(), name)
	if errors.Is(err, store.ErrNotFound) {
		// Azure's name would not resolve; here the proxy has answered for every name below the domain.
		return wire.Fail(http.StatusNotFound, "AccountNotFound", "The storage account '"+printable(name)+"' does not exist.")
	}
	if err != nil {
		return err
	}
	path, err := url.PathUnescape(strings.TrimPrefix(x.r.URL.EscapedPath(), "/"))
	if err != nil {
		return invalidURI()
	}
	return x.aim(path)
}

// aim decides once what the operation is on, by restype and path together: rights are checked for what the path names, so an
// operation on a container whose path names a blob, or the like, would be another one than was allowed.
func (x *exchange) aim(path string) error {
	restype, once := one(x.query, "restype")
	if !once {
		return badQuery("restype")
	}
	container, blob, _ := strings.Cut(path, "/")
	switch {
	case restype == "container" && (container == "" || blob != ""): // "/name/" is the container too
		return invalidURI()
	case restype == "container":
		x.what, x.container = "container", container
	case (restype == "service" || restype == "account") && path == "":
		x.what = restype
		return nil
	case restype == "" && path == "" && x.query.Get("comp") == "list":
		x.what = "service"
		return nil
	case restype != "" || path == "": // the service answers restype=account below a container too; here it is the account's own
		return unsupportedQuery("restype")
	case container == "":
		return worded("InvalidResourceName")
	case blob == "": // a blob at the top is in $root
		x.what, x.container, x.blob = "blob", "$root", container
	default:
		x.what, x.container, x.blob = "blob", container, blob
	}
	if !storage.ContainerName(x.container) {
		return worded("InvalidResourceName")
	}
	return nil
}

func invalidURI() error {
	return wire.Fail(http.StatusBadRequest, "InvalidUri", "The requested URI does not represent any resource on the server.")
}

func printable(name string) string {
	if len(name) > 63 {
		name = name[:63]
	}
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return -1
	}, name)
}

func (x *exchange) may(r right) error { return x.proof.may(x, r) }

// versionQueries name states of a blob that was: there are none here.
var versionQueries = []string{"snapshot", "versionid"}

// unsupported are headers that would change what a request means.
var unsupported = []string{"x-ms-encryption-key", "x-ms-encryption-scope", "x-ms-if-sequence-number-le", "x-ms-if-sequence-number-lt",
	"x-ms-if-sequence-number-eq", "x-ms-structured-body", "x-ms-tags", "x-ms-if-tags", "x-ms-source-if-tags", "x-ms-immutability-policy-until-date",
	"x-ms-legal-hold", "x-ms-access-tier", "x-ms-rehydrate-priority", "x-ms-content-crc64", "x-ms-range-get-content-crc64", "x-ms-source-content-md5",
	"x-ms-source-content-crc64", "x-ms-source-lease-id", "x-ms-copy-source-authorization", "x-ms-copy-source-tag-option", "x-ms-seal-blob"}

// dispatch finds the operation by method, restype and comp.
func (x *exchange) dispatch() error {
	for _, name := range append(versionQueries, "prevsnapshot", "deletetype") {
		if x.query.Get(name) != "" {
			return unsupportedQuery(name)
		}
	}
	for _, name := range unsupported {
		if x.r.Header.Get(name) != "" {
			return unsupportedHeader(name)
		}
	}
	comp := x.query.Get("comp")
	method := x.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	known := operations(x)
	if do := known[x.what+" "+method+" "+comp]; do != nil {
		return do()
	}
	for name := range known {
		if f := strings.Split(name, " "); f[0] == x.what && f[2] == comp {
			return wire.Fail(http.StatusMethodNotAllowed, "UnsupportedHttpVerb", "The resource doesn't support specified Http Verb.")
		}
	}
	return unsupportedQuery("comp=" + comp)
}

// operations are what the door serves; HEAD goes the way of GET.
func operations(x *exchange) map[string]func() error {
	return map[string]func() error{
		"service GET list":               x.listContainers,
		"service POST userdelegationkey": x.userDelegationKey,
		"service GET properties":         x.serviceProperties,
		"account GET properties":         x.accountInformation,
		"container PUT ":                 x.createContainer,
		"container GET ":                 x.getContainer,
		"container GET metadata":         x.getContainer,
		"container PUT metadata":         x.setContainerMetadata,
		"container DELETE ":              x.deleteContainer,
		"container PUT lease":            x.leaseContainer,
		"container GET list":             x.listBlobs,
		"container GET acl":              x.getACL,
		"container PUT acl":              x.setACL,
		"blob GET ":                      x.getBlob,
		"blob GET metadata":              x.getBlobMetadata,
		"blob PUT ":                      x.putBlob,
		"blob DELETE ":                   x.deleteBlob,
		"blob PUT metadata":              x.setBlobMetadata,
		"blob PUT properties":            x.setBlobProperties,
		"blob PUT lease":                 x.leaseBlob,
		"blob PUT block":                 x.putBlock,
		"blob PUT blocklist":             x.putBlockList,
		"blob GET blocklist":             x.getBlockList,
		"blob PUT page":                  x.putPage,
		"blob GET pagelist":              x.getPages,
		"blob PUT copy":                  x.abortCopy,
	}
}

func unsupportedQuery(name string) error {
	return wire.Fail(http.StatusBadRequest, "UnsupportedQueryParameter", "One of the query parameters specified in the request URI is not supported: "+name+".")
}

func badQuery(name string) error {
	return wire.Fail(http.StatusBadRequest, "InvalidQueryParameterValue", "Value for one of the query parameters specified in the request URI is invalid. "+name)
}

const maxDocument = 64 << 10 // bytes of a request's XML; a block list is read otherwise

// document reads the request's XML.
func (x *exchange) document(v any) error {
	raw, err := io.ReadAll(io.LimitReader(x.r.Body, maxDocument+1))
	if err != nil {
		return err
	}
	if len(raw) > maxDocument {
		return wire.TooLarge("")
	}
	if err := xml.Unmarshal(raw, v); err != nil {
		return badXML(err)
	}
	return nil
}

func badXML(err error) error {
	return wire.Fail(http.StatusBadRequest, "InvalidXmlDocument", "XML specified is not syntactically valid.").Because(err)
}

// box reads the container that the request names.
func (x *exchange) box() (storage.Box, error) {
	return x.Accounts.Container(x.r.Context(), x.account, x.container)
}
