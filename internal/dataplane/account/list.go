package account

import (
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"vitrine/internal/dataplane/wire"
	"vitrine/internal/provider/storage/content"
	"vitrine/internal/web"
)

// entries are name and value of metadata, which XML shows as elements.
type entries map[string]string

// MarshalXML writes the names as elements.
func (m entries) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := e.EncodeElement(m[name], xml.StartElement{Name: xml.Name{Local: name}}); err != nil {
			return err
		}
	}
	return e.EncodeToken(start.End())
}

type enumeration struct {
	XMLName    xml.Name        `xml:"EnumerationResults"`
	Endpoint   string          `xml:"ServiceEndpoint,attr"`
	Container  string          `xml:"ContainerName,attr,omitempty"`
	Prefix     string          `xml:"Prefix,omitempty"`
	Marker     string          `xml:"Marker,omitempty"`
	Max        int             `xml:"MaxResults,omitempty"`
	Delimiter  string          `xml:"Delimiter,omitempty"`
	Containers *listContainers `xml:"Containers"`
	Blobs      *listBlobs      `xml:"Blobs"`
	Next       string          `xml:"NextMarker"`
}

type listContainers struct {
	List []listedContainer `xml:"Container"`
}

type listBlobs struct {
	List     []listedBlob `xml:"Blob"`
	Prefixes []blobPrefix `xml:"BlobPrefix"`
}

type blobPrefix struct{ Name xmlName }

// xmlName is a blob's name; what XML cannot hold is percent-encoded and says so (the service's since version 2021-02-12).
type xmlName struct {
	Encoded string `xml:",attr,omitempty"`
	Text    string `xml:",chardata"`
}

func named(name string) xmlName {
	for _, r := range name {
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff {
			return xmlName{"true", url.PathEscape(name)}
		}
	}
	return xmlName{Text: name}
}

type listedContainer struct {
	Name       string
	Properties listedProperties
	Metadata   entries `xml:"Metadata,omitempty"`
}

type listedBlob struct {
	Name       xmlName
	Properties listedProperties
	Metadata   entries `xml:"Metadata,omitempty"`
}

// listedProperties are those of a container or a blob, in the service's order.
type listedProperties struct {
	Created      string `xml:"Creation-Time,omitempty"`
	Modified     string `xml:"Last-Modified"`
	ETag         string `xml:"Etag"`
	Length       *int64 `xml:"Content-Length"`
	Type         string `xml:"Content-Type,omitempty"`
	Encoding     string `xml:"Content-Encoding,omitempty"`
	Language     string `xml:"Content-Language,omitempty"`
	MD5          string `xml:"Content-MD5,omitempty"`
	CacheControl string `xml:"Cache-Control,omitempty"`
	Disposition  string `xml:"Content-Disposition,omitempty"`
	Sequence     *int64 `xml:"x-ms-blob-sequence-number"`
	BlobType     string `xml:"BlobType,omitempty"`
	Public       string `xml:"PublicAccess,omitempty"`
	LeaseStatus  string
	LeaseState   string
	CopyID       string `xml:"CopyId,omitempty"`
	CopySource   string `xml:"CopySource,omitempty"`
	CopyStatus   string `xml:"CopyStatus,omitempty"`
	Encrypted    *bool  `xml:"ServerEncrypted"`
}

func leaseWords(l content.Lease, now time.Time) (status, state string) {
	if l.Locked(now) {
		return "locked", l.State(now)
	}
	return "unlocked", l.State(now)
}

// page reads what every list is asked: the page's head, the name to go on after, and what it is to show.
func (x *exchange) page(known ...string) (out enumeration, after string, include []string, err error) {
	out = enumeration{Endpoint: "https://" + x.r.Host + "/", Prefix: x.query.Get("prefix"), Marker: x.query.Get("marker")}
	if out.Max, err = x.limit(); err != nil {
		return out, "", nil, err
	}
	raw, err := base64.RawURLEncoding.DecodeString(out.Marker) // opaque to clients: the last name of the page before
	if err != nil {
		return out, "", nil, worded("OutOfRangeQueryParameterValue")
	}
	include, err = x.include(known...)
	return out, string(raw), include, err
}

func (x *exchange) listContainers() error {
	if err := x.may(right{letter: 'l', typ: 's', action: containersAction + "/read", asOwner: true}); err != nil {
		return err
	}
	out, after, include, err := x.page("metadata", "system")
	if err != nil {
		return err
	}
	found, err := x.Accounts.Containers(x.r.Context(), x.account, out.Prefix, after, out.Max+1)
	if err != nil {
		return err
	}
	out.Containers = &listContainers{}
	if len(found) > out.Max {
		found = found[:out.Max]
		out.Next = base64.RawURLEncoding.EncodeToString([]byte(found[out.Max-1].Name))
	}
	for _, b := range found {
		c := listedContainer{Name: b.Name, Properties: listedProperties{Modified: b.Changed.UTC().Format(http.TimeFormat), ETag: wire.ETag(b.Changed)}}
		c.Properties.LeaseStatus, c.Properties.LeaseState = leaseWords(b.Lease, x.now())
		if b.Public != "None" {
			c.Properties.Public = strings.ToLower(b.Public)
		}
		if slices.Contains(include, "metadata") {
			c.Metadata = b.Metadata
		}
		out.Containers.List = append(out.Containers.List, c)
	}
	web.Write(x.w, http.StatusOK, "application/xml", wire.Document(out))
	return nil
}

// include reads what a list is to show; what there is nothing of may be asked for.
func (x *exchange) include(known ...string) ([]string, error) {
	var list []string
	for _, name := range strings.Split(x.query.Get("include"), ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if name != "" && !slices.Contains(known, name) {
			return nil, unsupportedQuery("include=" + name)
		}
		list = append(list, name)
	}
	return list, nil
}

// listBlobs serves List Blobs, flat and by hierarchy.
func (x *exchange) listBlobs() error {
	if err := x.may(right{letter: 'l', typ: 'c', action: blobsAction + "/read", data: true, sub: listing}); err != nil {
		return err
	}
	box, err := x.box()
	if err != nil {
		return err
	}
	out, after, include, err := x.page("metadata", "copy", "deleted", "snapshots", "versions", "tags", "immutabilitypolicy", "legalhold", "deletedwithversions")
	if err != nil {
		return err
	}
	out.Container, out.Delimiter, out.Blobs = x.container, x.query.Get("delimiter"), &listBlobs{}
	if err := x.collect(&out, box.Container, after, slices.Contains(include, "metadata")); err != nil {
		return err
	}
	web.Write(x.w, http.StatusOK, "application/xml", wire.Document(out))
	return nil
}

// collect fills a page. With a delimiter, names that go on after it count once, as a prefix, and the listing jumps over them.
func (x *exchange) collect(out *enumeration, c content.Container, after string, metadata bool) error {
	count := 0
	for {
		found, err := x.Blobs.List(x.r.Context(), c, out.Prefix, after, out.Max-count+1)
		if err != nil {
			return err
		}
		more := len(found) > out.Max-count
		jumped := false
		for _, b := range found {
			if count == out.Max {
				out.Next = base64.RawURLEncoding.EncodeToString([]byte(after))
				return nil
			}
			if out.Delimiter != "" {
				if i := strings.Index(b.Name[len(out.Prefix):], out.Delimiter); i >= 0 {
					p := b.Name[:len(out.Prefix)+i+len(out.Delimiter)]
					out.Blobs.Prefixes = append(out.Blobs.Prefixes, blobPrefix{named(p)})
					after, jumped = p+content.Last, true
					count++
					break
				}
			}
			out.Blobs.List = append(out.Blobs.List, x.listed(b, metadata))
			after = b.Name
			count++
		}
		if !jumped && !more {
			return nil
		}
	}
}

func (x *exchange) listed(b *content.Blob, metadata bool) listedBlob {
	yes := false
	p := listedProperties{Created: b.Created.UTC().Format(http.TimeFormat), Modified: b.Modified().UTC().Format(http.TimeFormat),
		ETag: strings.Trim(wire.ETag(b.Modified()), `"`), Length: &b.Size, Type: contentType(b), Encoding: b.Headers.Encoding,
		Language: b.Headers.Language, MD5: b.Headers.MD5, CacheControl: b.Headers.CacheControl, Disposition: b.Headers.Disposition,
		BlobType: b.Kind, Encrypted: &yes}
	p.LeaseStatus, p.LeaseState = leaseWords(b.Lease, x.now())
	if b.Kind == content.Page {
		p.Sequence = &b.Sequence
	}
	if b.Copy != nil {
		p.CopyID, p.CopySource, p.CopyStatus = b.Copy.ID, b.Copy.Source, b.Copy.Status
	}
	l := listedBlob{Name: named(b.Name), Properties: p}
	if metadata {
		l.Metadata = b.Metadata
	}
	return l
}

func contentType(b *content.Blob) string {
	if b.Headers.ContentType == "" {
		return "application/octet-stream"
	}
	return b.Headers.ContentType
}
