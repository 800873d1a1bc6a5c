package audit

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The kinds of this package's documents.
const (
	EventKind  = "audit/event"
	SealKind   = "audit/seal"
	HeadKind   = "audit/head"
	AnchorKind = "audit/anchor"
	keyKind    = "audit/key"
)

// Installation stands for the tenant in events that belong to none, such as a new certificate authority.
const Installation = "installation"

// Category says which door told an event.
type Category string

// The categories. Only Administrative is one of Azure's activity log.
const (
	Administrative Category = "Administrative"
	SignIn         Category = "SignIn"
	Operator       Category = "Operator"
)

// Status is how far what an event tells had come.
type Status string

// The statuses, by Azure's names.
const (
	Started   Status = "Started"
	Accepted  Status = "Accepted"
	Succeeded Status = "Succeeded"
	Failed    Status = "Failed"
)

// Caller is who did it, as far as tokens or the operating system proved it.
type Caller struct {
	Tenant     string `json:"tenant,omitempty"`
	ObjectID   string `json:"object,omitempty"`
	AppID      string `json:"app,omitempty"`
	Name       string `json:"name,omitempty"`
	Kind       string `json:"kind,omitempty"`
	HomeTenant string `json:"home,omitempty"`
	TokenID    string `json:"uti,omitempty"` // names the token without being it
	Auxiliary  string `json:"auxiliary,omitempty"`
}

// Request is what the wire told of a request. There is no body in it, and of the URI's query the api-version only.
type Request struct {
	ID            string `json:"id,omitempty"`
	ClientID      string `json:"clientRequestId,omitempty"`
	CorrelationID string `json:"correlationId,omitempty"`
	Source        string `json:"source,omitempty"` // IP address
	Method        string `json:"method,omitempty"`
	URI           string `json:"uri,omitempty"`
	HTTPStatus    int    `json:"status,omitempty"` // of the answer
}

// Event is one entry. A text is at most maxText bytes; longer ones are cut.
type Event struct {
	ID           string    `json:"id"` // UUID of version 7, given by the log
	Time         time.Time `json:"time"`
	Tenant       string    `json:"tenant"`
	Subscription string    `json:"subscription,omitempty"`
	Group        string    `json:"resourceGroup,omitempty"`
	Resource     string    `json:"resource,omitempty"` // ID of what was acted on
	Type         string    `json:"type,omitempty"`     // of the resource
	Category     Category  `json:"category"`
	Action       string    `json:"action"` // the permission it took, or the act
	Status       Status    `json:"status"`
	Code         string    `json:"code,omitempty"`      // of the error
	Message      string    `json:"message,omitempty"`   // of a denial: names and IDs, never what a body said
	Operation    string    `json:"operation,omitempty"` // ID of the long-running work
	End          bool      `json:"end,omitempty"`       // tells how that work ended; else how the request was answered
	Caller       Caller    `json:"caller"`
	Request      Request   `json:"request"`
	// Facts are the few properties of what was written or deleted that its type calls harmless, such as whom a role was given.
	Facts map[string]string `json:"facts,omitempty"`
	Count int               `json:"count,omitempty"` // repeats of an earlier event that this one stands for
	First time.Time         `json:"first,omitzero"`  // of those
	Last  time.Time         `json:"last,omitzero"`
}

const maxText = 2048

// normal gives e in the form in which it is kept.
func (e Event) normal(now time.Time) Event {
	if e.Time.IsZero() {
		e.Time = now
	}
	for _, t := range []*time.Time{&e.Time, &e.First, &e.Last} {
		if !t.IsZero() {
			*t = t.UTC().Truncate(time.Microsecond)
		}
	}
	if e.Tenant = strings.ToLower(e.Tenant); e.Tenant == "" {
		e.Tenant = Installation
	}
	e.Subscription = strings.ToLower(e.Subscription)
	e.Request.ClientID = strings.Map(ascii, e.Request.ClientID)
	for _, s := range []*string{&e.Group, &e.Resource, &e.Type, &e.Action, &e.Code, &e.Message, &e.Operation, &e.Caller.Name, &e.Caller.AppID,
		&e.Caller.ObjectID, &e.Caller.Auxiliary, &e.Request.ID, &e.Request.ClientID, &e.Request.CorrelationID, &e.Request.Source, &e.Request.URI,
		&e.Request.Method, &e.Subscription, &e.Tenant, &e.Caller.Tenant, &e.Caller.Kind, &e.Caller.HomeTenant, &e.Caller.TokenID} {
		*s = cut(*s, maxText)
	}
	e.Facts = cutAll(e.Facts)
	return e
}

const maxFacts = 8

// cutAll keeps the first facts by name, each cut to its length. What a type gives is small; this holds it to that.
func cutAll(facts map[string]string) map[string]string {
	if len(facts) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(facts))
	out := make(map[string]string, len(names))
	for _, n := range names[:min(len(names), maxFacts)] {
		out[cut(n, maxText)] = cut(facts[n], maxText)
	}
	return out
}

// cut shortens a text, and puts a mark for what would move the cursor of whoever reads the log or turn the order of the letters: control
// and format characters, line separators, broken UTF-8. The texts may be a stranger's.
func cut(s string, most int) string {
	s = strings.Map(graphic, strings.ToValidUTF8(s, "?"))
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

func graphic(r rune) rune {
	if unicode.IsGraphic(r) {
		return r
	}
	return '?'
}

// ascii is for an ID that a client chose: Azure's are GUIDs.
func ascii(r rune) rune {
	if r < ' ' || r > '~' {
		return '?'
	}
	return r
}

// The layout of the store. An event's key begins with its place, which is a subscription, or "-" for what is in none, and
// goes on with the time turned round, so that a list begins with the newest.
//
//	audit/head/T    audit/anchor/T    audit/seal/T/000000000017    audit/event/T/PLACE/7ff9e1…-UUID
func (e Event) key() string { return e.place() + turned(e.Time) + "-" + e.ID }

func (e Event) place() string {
	place := e.Subscription
	if place == "" {
		place = "-"
	}
	return eventPrefix(e.Tenant) + place + "/"
}

func eventPrefix(tenant string) string        { return EventKind + "/" + tenant + "/" }
func sealPrefix(tenant string) string         { return SealKind + "/" + tenant + "/" }
func sealKey(tenant string, n int64) string   { return fmt.Sprintf("%s%012d", sealPrefix(tenant), n) }
func headKey(tenant string) string            { return HeadKind + "/" + tenant }
func anchorKey(tenant string) string          { return AnchorKind + "/" + tenant }
func batchTerm(tenant string, n int64) string { return fmt.Sprintf("%s%d", batchPrefix(tenant), n) }
func batchPrefix(tenant string) string        { return "audit-batch:" + tenant + ":" }
func turned(t time.Time) string               { return fmt.Sprintf("%016x", math.MaxInt64-t.UnixMicro()) }
func splitKey(key string) (place, rest string) {
	place, rest, _ = strings.Cut(key, "/")
	return place, rest
}
