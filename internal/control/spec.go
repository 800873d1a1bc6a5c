package control

import (
	"context"
	"encoding/json"
	"net/url"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control/throttle"
	"vitrine/internal/operation"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// Level says where a type's resources live.
type Level int

// The levels.
const (
	InGroup Level = iota
	InSubscription
	InTenant
	Extension // below any scope: role assignments, locks
)

// Spec says everything there is to say about a resource type. A function that is nil is a verb that is off.
type Spec[T any] struct {
	Type     string        // in canonical case: "Microsoft.Compute/galleries/images"
	Level    Level         //
	Versions []arm.Version // the api-versions that the provider's manifest lists; any other is accepted too
	Noun     string        // prefix of targets: "galleryImage" gives galleryImage.properties.osType; empty: bare names
	Tracked  bool          // has location and tags
	// AsWritten: the location is told as it was written, "East US" (recorded of galleries, Swagger of disks and snapshots); of other
	// types it is told as the region's name (Swagger of images).
	AsWritten bool
	Authored  arm.Version                  // the api-version from which on systemData is told; empty: never
	Async     Async                        // how long-running work is told
	Synonyms  []string                     // other spellings of the type's last part that clients send
	Action    string                       // prefix of permissions when it is not Type
	Reader    func([]byte) ([]byte, error) // turns what clients of this type send into JSON; nil: it is JSON

	// Fetch is done before the transaction of a PUT, once the right to write is known: the one place for what needs the world
	// outside, such as a linked template. It may replace the body, and what else it found is the write's Fetched.
	Fetch    func(ctx context.Context, body []byte) (replaced []byte, found any, err error)
	Name     func(name string) *arm.Error                            // the rule for names; nil: ARM's own
	Validate func(*Resource[T]) []*arm.Error                         // pure; finds every fault, not the first
	Links    func(old, next *Resource[T]) []rbac.Link                // what next leans on that old (nil on create) did not
	Put      func(context.Context, *Write[T]) error                  // create or replace, in the transaction
	Patch    bool                                                    // PATCH merges and then goes the way of Put
	Delete   func(context.Context, *Write[T]) error                  // take away, in the transaction; Old is set, New nil
	Preempt  bool                                                    // a DELETE calls off what is under way, and its work waits for that
	View     func(context.Context, *Read[T]) error                   // completes an answer with what other documents know
	Dialect  func(*Resource[T], arm.Version)                         // shapes every answer, a write's first one too, as the api-version knows the type
	Buried   func(store.Tx, arm.ID) (*Resource[T], error)            // what a PUT or PATCH may bring back, as its Old; reads do not see it; store.ErrNotFound
	Get      func(store.Tx, arm.ID) (*Resource[T], error)            // replaces the reading by ID; store.ErrNotFound
	List     func(context.Context, *Listing) ([]*Resource[T], error) // replaces the listing by ID
	Size     string                                                  // the query parameter that says how many rows of a list an answer has: "$top"; empty: none
	Actions  []Action[T]
	// Supersede is what clients are told a PUT of this type is, "PutSubnetOperation", where one takes the place of one that is
	// under way on the same resource. Empty: it is refused.
	Supersede string
	// Rates limits what a subscription may ask for, by verb: "read", "list", "write", "delete", or the name of an action.
	Rates map[string]throttle.Limit
	// Attributes gives what a condition of a role assignment may ask about a write or deletion; nil: the names in the ID only.
	Attributes func(tx store.Tx, id arm.ID, body []byte) rbac.Attributes
	// Facts are the few properties that the activity log keeps of one that was written or deleted: names and IDs, no secrets. Nil: none.
	Facts   func(*Resource[T]) map[string]string
	Missing func(arm.ID) *arm.Error                                         // words the absence of one; nil: ResourceNotFound
	Parts   map[string]func(context.Context, *Read[T], string) (any, error) // GET …/resource/part[/name]
}

// Async says how a type's long-running work shows.
type Async struct {
	Create    int    // status of a PUT that creates; 0: 201
	Update    int    // status of a PUT on what exists; 0: 200, or 202 where Create is 202
	Delete    int    // status of a DELETE that is done at once; 0: 200
	Echo      bool   // DELETE answers with what it deleted
	First     string // provisioningState in the first answer of a create; empty: Creating
	Family    string // of the status URL: "capsOperations", "DiskOperations", "operations"; empty: no status URL
	Partition bool   // the status URL has p={guid}, as those of Compute's own resources (recorded)
	Location  bool   // a PUT's answer carries Location too, as for disks
	Brief     bool   // the status URL tells the status and no times, as Microsoft.Network's (recorded)
}

// Action is a POST on a resource.
type Action[T any] struct {
	Name       string // "beginGetAccess"
	Permission string // empty: Type/Name/action
	Do         func(context.Context, *Act[T]) error
}

// Write is one PUT, PATCH or DELETE in its transaction.
type Write[T any] struct {
	Tx       store.Tx
	Caller   authn.Caller
	ID       arm.ID
	Old      *Resource[T] // nil when it does not exist yet
	New      *Resource[T] // nil on DELETE
	Body     json.RawMessage
	Query    url.Values
	Version  arm.Version
	Now      time.Time
	Location string // of the operation; the resource's unless set

	Fetched   any  // what Spec.Fetch found
	Rehearsed bool // it is only tried: Fetch was not asked

	Correlation string // joins the request to those before and after it, in the activity log too

	permission string
	op         *operation.Operation
}

// Begin makes the request long-running: work is what the engine runs, input what it needs (principals, never tokens).
func (w *Write[T]) Begin(work string, input any) error {
	raw, err := json.Marshal(input)
	if err != nil {
		return err
	}
	w.op = &operation.Operation{ID: uuid.NewString(), Work: work, Resource: w.ID.Key(), Action: w.permission,
		Tenant: w.Caller.Primary.TenantID, Principal: w.Caller.Primary.ObjectID, Input: raw, Start: w.Now}
	return nil
}

// Named gives the operation that Begin made another ID, for families whose URLs are not GUIDs.
func (w *Write[T]) Named(id string) { w.op.ID = id }

// OperationID is the ID of the operation that Begin made, or empty.
func (w *Write[T]) OperationID() string {
	if w.op == nil {
		return ""
	}
	return w.op.ID
}

// Act is one POST in its transaction. Old and New are the same resource; it is saved when Changed or long-running.
type Act[T any] struct {
	Write[T]
	Output  any // the answer of a synchronous action; nil: empty body
	Changed bool
}

// Read is a resource on its way to a client.
type Read[T any] struct {
	Tx       store.Tx
	Caller   authn.Caller
	Resource *Resource[T]
	Query    url.Values
	Version  arm.Version
	Base     string  // "https://management.azure.com", as the client called us
	Written  *arm.ID // what the request names, when this is the answer to its PUT or PATCH; nil on reads
}

// Listing is a request for a list that a Spec serves itself.
type Listing struct {
	Tx     store.Tx
	Caller authn.Caller
	Scope  arm.ID // whose list
	Query  url.Values
	Grants *rbac.Grants
}
