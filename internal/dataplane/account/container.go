package account

import (
	"encoding/xml"
	"net/http"
	"strconv"
	"strings"
	"time"

	"vitrine/internal/dataplane/wire"
	"vitrine/internal/provider/storage"
	"vitrine/internal/web"
)

func (x *exchange) containerRight(letter byte, verb string) right {
	return right{letter: letter, typ: 'c', action: containersAction + verb, asOwner: true}
}

// metadata reads the headers x-ms-meta-….
func (x *exchange) metadata() (map[string]string, error) {
	out, size := map[string]string{}, 0
	for name, values := range x.r.Header {
		key, ok := strings.CutPrefix(strings.ToLower(name), "x-ms-meta-")
		if !ok {
			continue
		}
		if len(values) > 1 || !identifier(key) {
			return nil, worded("InvalidMetadata")
		}
		out[key] = values[0]
		size += len(key) + len(values[0])
	}
	if size > 8<<10 {
		return nil, wire.Fail(http.StatusBadRequest, "MetadataTooLarge", "The size of the specified metadata exceeds the maximum size permitted.")
	}
	return out, nil
}

// tell sets them in an answer, in small letters: the Python SDK knows them no other way.
func (x *exchange) tell(metadata map[string]string) {
	for name, value := range metadata {
		x.w.Header()["x-ms-meta-"+strings.ToLower(name)] = []string{value}
	}
}

func identifier(s string) bool {
	for i, c := range s {
		if c != '_' && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

func (x *exchange) public() (string, error) {
	switch access := strings.ToLower(x.r.Header.Get("x-ms-blob-public-access")); access {
	case "":
		return "None", nil
	case "blob":
		return "Blob", nil
	case "container":
		return "Container", nil
	}
	return "", wire.BadHeader("x-ms-blob-public-access")
}

func (x *exchange) createContainer() error {
	if err := x.may(x.containerRight('c', "/write")); err != nil {
		return err
	}
	metadata, err := x.metadata()
	if err != nil {
		return err
	}
	public, err := x.public()
	if err != nil {
		return err
	}
	b, err := x.Accounts.CreateContainer(x.r.Context(), x.account, x.container, public, metadata)
	if err != nil {
		return err
	}
	x.stampBox(b)
	return x.empty(http.StatusCreated)
}

// empty answers without a body.
func (x *exchange) empty(status int) error {
	x.w.Header().Set("Content-Length", "0")
	x.w.WriteHeader(status)
	return nil
}

func (x *exchange) stampBox(b storage.Box) {
	x.w.Header().Set("ETag", wire.ETag(b.Changed))
	x.w.Header().Set("Last-Modified", b.Changed.UTC().Format(http.TimeFormat))
}

// getContainer serves Get Container Properties and Get Container Metadata.
func (x *exchange) getContainer() error {
	if err := x.may(x.containerRight('r', "/read")); err != nil {
		return err
	}
	b, err := x.box()
	if err != nil {
		return err
	}
	x.stampBox(b)
	h := x.w.Header()
	x.tell(b.Metadata)
	h.Set("x-ms-has-immutability-policy", "false")
	h.Set("x-ms-has-legal-hold", "false")
	if b.Public != "None" && b.Public != "" {
		h.Set("x-ms-blob-public-access", strings.ToLower(b.Public))
	}
	x.leaseHeaders(b.Lease.State(x.now()), b.Lease.Locked(x.now()), b.Lease.Duration)
	return x.empty(http.StatusOK)
}

func (x *exchange) leaseHeaders(state string, locked bool, d time.Duration) {
	h := x.w.Header()
	h.Set("x-ms-lease-state", state)
	h.Set("x-ms-lease-status", "unlocked")
	if locked {
		h.Set("x-ms-lease-status", "locked")
	}
	if state == "leased" {
		h.Set("x-ms-lease-duration", "infinite")
		if d > 0 {
			h.Set("x-ms-lease-duration", "fixed")
		}
	}
}

// boxHeld checks a container's conditions and lease. A lease stops its deletion; other writes only when they name one.
func (x *exchange) boxHeld(b storage.Box, deleting bool) error {
	if err := wire.Conditions(x.r, b.Changed); err != nil {
		return err
	}
	id := x.r.Header.Get("x-ms-lease-id")
	if !deleting && id == "" {
		return nil
	}
	return b.Lease.Allows(id, x.now(), "Container")
}

func (x *exchange) setContainerMetadata() error {
	if err := x.may(x.containerRight('w', "/write")); err != nil {
		return err
	}
	metadata, err := x.metadata()
	if err != nil {
		return err
	}
	b, err := x.Accounts.ChangeContainer(x.r.Context(), x.account, x.container, func(b *storage.Box) error {
		b.Metadata = metadata
		return x.boxHeld(*b, false)
	})
	if err != nil {
		return err
	}
	x.stampBox(b)
	return x.empty(http.StatusOK)
}

func (x *exchange) deleteContainer() error {
	if err := x.may(x.containerRight('d', "/delete")); err != nil {
		return err
	}
	err := x.Accounts.DeleteContainer(x.r.Context(), x.account, x.container, func(b storage.Box) error { return x.boxHeld(b, true) })
	if err != nil {
		return err
	}
	return x.empty(http.StatusAccepted)
}

type signedIdentifiers struct {
	XMLName xml.Name `xml:"SignedIdentifiers"`
	List    []struct {
		ID string `xml:"Id"`
	} `xml:"SignedIdentifier"`
}

// getACL tells the public access; there are no stored access policies.
func (x *exchange) getACL() error {
	if err := x.may(right{letter: '-', typ: 'c', action: containersAction + "/getAcl/action", asOwner: true}); err != nil {
		return err
	}
	b, err := x.box()
	if err != nil {
		return err
	}
	x.stampBox(b)
	if b.Public != "None" && b.Public != "" {
		x.w.Header().Set("x-ms-blob-public-access", strings.ToLower(b.Public))
	}
	web.Write(x.w, http.StatusOK, "application/xml", wire.Document(signedIdentifiers{}))
	return nil
}

func (x *exchange) setACL() error {
	if err := x.may(right{letter: '-', typ: 'c', action: containersAction + "/setAcl/action", asOwner: true}); err != nil {
		return err
	}
	public, err := x.public()
	if err != nil {
		return err
	}
	if x.r.ContentLength != 0 {
		var policies signedIdentifiers
		if err := x.document(&policies); err != nil {
			return err
		}
		if len(policies.List) > 0 {
			return wire.Fail(http.StatusBadRequest, "FeatureNotSupported", "Stored access policies are not supported here.")
		}
	}
	b, err := x.Accounts.ChangeContainer(x.r.Context(), x.account, x.container, func(b *storage.Box) error {
		b.Public = public
		return x.boxHeld(*b, false)
	})
	if err != nil {
		return err
	}
	x.stampBox(b)
	return x.empty(http.StatusOK)
}

// accountInformation serves Get Account Information.
func (x *exchange) accountInformation() error {
	if err := x.may(right{letter: 'r', typ: 's', action: "Microsoft.Storage/storageAccounts/blobServices/getInfo/action", asOwner: true}); err != nil {
		return err
	}
	x.w.Header().Set("x-ms-sku-name", x.account.SKU)
	x.w.Header().Set("x-ms-account-kind", x.account.Kind)
	x.w.Header().Set("x-ms-is-hns-enabled", "false")
	return x.empty(http.StatusOK)
}

type retention struct {
	Enabled bool
}

type serviceSettings struct {
	XMLName xml.Name `xml:"StorageServiceProperties"`
	Cors    string
	Delete  retention `xml:"DeleteRetentionPolicy"`
	Static  retention `xml:"StaticWebsite"`
}

// serviceProperties tells that nothing of it is on; Set Blob Service Properties is not served.
func (x *exchange) serviceProperties() error {
	if err := x.may(right{letter: 'r', typ: 's', action: "Microsoft.Storage/storageAccounts/blobServices/read", asOwner: true}); err != nil {
		return err
	}
	web.Write(x.w, http.StatusOK, "application/xml", wire.Document(serviceSettings{}))
	return nil
}

// limit reads maxresults.
func (x *exchange) limit() (int, error) {
	text := x.query.Get("maxresults")
	if text == "" {
		return 5000, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, worded("OutOfRangeQueryParameterValue")
	}
	return min(n, 5000), nil
}
