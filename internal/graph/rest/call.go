package rest

import (
	"context"
	"net/url"
	"strings"

	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/odata"
	"vitrine/internal/graph/wire"
	"vitrine/internal/store"
)

// Call is one request within its transaction.
type Call struct {
	Ctx   context.Context
	Tx    store.Tx
	Args  []string // what stood in the path's variable places
	Query *odata.Query
	Body  wire.Body
	Who   Caller
	Prep  any // what was made ready before the transaction

	server *server
}

// Answer is what a handler gives back: one entity, a list, a bare value, or nothing (204).
type Answer struct {
	Status   int
	Entity   *entity.Entity
	List     []*entity.Entity
	IsList   bool
	Context  string // behind "$metadata#"
	Location string
	Count    bool // the answer to …/$count: a number alone
}

// Look runs a check in a reading transaction of its own, before costly work.
func (c *Call) Look(check func(*Call) error) error {
	return c.server.Store.View(c.Ctx, func(tx store.Tx) error {
		first := *c
		first.Tx = tx
		if err := c.server.identify(&first); err != nil {
			return err
		}
		return check(&first)
	})
}

// Self is the caller's own ID when the path is about the caller, who may always ask that.
func (c *Call) Self() string {
	if len(c.Args) > 0 && strings.EqualFold(c.Args[0], c.Who.ObjectID) {
		return c.Who.ObjectID
	}
	return ""
}

// Listing answers with a collection, once the query is known to fit its type.
func (c *Call) Listing(context string, k entity.Kind, list []*entity.Entity) (Answer, error) {
	if err := c.Query.Check(k.Sample); err != nil {
		return Answer{}, err
	}
	if err := c.NoExpand(); err != nil {
		return Answer{}, err
	}
	return Answer{IsList: true, List: list, Context: context}, nil
}

// NoExpand refuses $expand by name.
func (c *Call) NoExpand() error {
	if len(c.Query.Expand) > 0 {
		return wire.Unsupported("$expand=" + c.Query.Expand[0])
	}
	return nil
}

// Reference reads the object that a $ref body points at: {"@odata.id": "https://graph.microsoft.com/v1.0/directoryObjects/{id}"}.
func Reference(b wire.Body) (string, error) {
	var target string
	if err := b.Into("@odata.id", &target); err != nil {
		return "", err
	}
	u, err := url.Parse(target)
	if err != nil || target == "" || len(target) > 512 {
		return "", wire.BadRequest("A value is required for property '@odata.id' of resource, the URL of a directory object.")
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	last := parts[len(parts)-1]
	if m := keyed.FindStringSubmatch(last); m != nil {
		last = m[3]
	}
	return last, nil
}
