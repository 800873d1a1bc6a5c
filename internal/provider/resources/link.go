package resources

import (
	"context"
	"errors"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/store"
)

const (
	linkType = "Microsoft.Resources/links"
	maxLinks = 50  // of one resource (Azure's reference of resource links)
	maxNotes = 512 // of our own
)

// Link is the properties of a link: a note that one resource belongs with another. Nothing follows from it. What it points to may
// go: "the link owner must clean up the remaining link". The source takes its links along.
type Link struct {
	Source  string          `json:"sourceId" arm:"readonly"`
	Target  string          `json:"targetId" arm:"required"`
	Notes   string          `json:"notes"`
	Unknown armjson.Unknown `json:"-"`
}

func linkTerm(target string) string { return "target:" + strings.ToLower(target) }

// Terms lets the links to a resource be found.
func (l *Link) Terms() []string {
	if t := linkTerm(l.Target); len(t) <= store.MaxTerm {
		return []string{t}
	}
	return nil
}

func registerLinks(c *control.Control) {
	control.Register(c, control.Spec[Link]{
		Type: linkType, Level: control.Extension, Versions: []arm.Version{"2016-09-01"},
		Validate: checkLink, Put: putLink, List: listLinks,
		Delete: func(context.Context, *control.Write[Link]) error { return nil },
	})
}

// checkLink wants the target in the subscription of the source. Whether it is there is not asked: who links need not be able to
// read it.
func checkLink(r *control.Resource[Link]) (faults []*arm.Error) {
	l := &r.Properties
	id, err := arm.ParseID(l.Target)
	switch {
	case err != nil || id.ResourceGroup == "" || len(l.Target) > store.MaxTerm-len(linkTerm("")):
		faults = append(faults, arm.Errorf(400, "LinkedInvalidPropertyId", "Property id '%.300s' at path 'properties.targetId' is invalid. Expect fully qualified resource Id that start with '/subscriptions/{subscriptionId}' or '/providers/{resourceProviderNamespace}/'.", l.Target).At("targetId"))
	case !strings.EqualFold(id.Subscription, r.ParsedID().Subscription):
		faults = append(faults, arm.Errorf(400, "InvalidLinkTarget", "The target '%.300s' of the resource link is in another subscription than its source. Linked resources must be in the same subscription.", l.Target).At("targetId"))
	}
	if len(l.Notes) > maxNotes {
		faults = append(faults, arm.Errorf(400, "InvalidRequestContent", "The notes of a resource link have at most %d bytes.", maxNotes).At("notes"))
	}
	return faults
}

func putLink(_ context.Context, w *control.Write[Link]) error {
	source := w.ID.Parent()
	if source.ResourceGroup == "" {
		return arm.Errorf(400, "InvalidLinkSource", "A resource link stands on a resource or a resource group, not on '%s'.", source)
	}
	if _, err := w.Tx.Get(source.Key()); errors.Is(err, store.ErrNotFound) {
		return arm.Errorf(404, "ResourceNotFound", "The source '%s' of the resource link was not found.", source)
	} else if err != nil {
		return err
	}
	w.New.Properties.Source = source.String()
	if w.Old != nil {
		return nil
	}
	all, err := w.Tx.List(store.Query{Kind: control.Kind(linkType), Prefix: linksOf(source)})
	if err == nil && len(all) >= maxLinks {
		return arm.Errorf(409, "TooManyLinks", "The resource '%s' has %d links already, and can have no more.", source, len(all))
	}
	return err
}

// linksOf begins the keys of the links of a resource itself, not of what is in it.
func linksOf(source arm.ID) string {
	return source.Key() + "/providers/" + strings.ToLower(linkType) + "/"
}

// listLinks gives the links at a scope and below; with atScope() those at it alone. Of a subscription, targetId eq ID gives those
// to one resource (ResourceLinks, List At Source Scope and List At Subscription).
func listLinks(_ context.Context, l *control.Listing) ([]*control.Resource[Link], error) {
	scope := l.Scope.Parent() // l.Scope ends in the namespace of the collection
	if scope.Subscription == "" {
		return nil, arm.Errorf(400, "InvalidLinkSource", "Resource links are listed of a subscription and what is in it, not of '%s'.", scope)
	}
	if _, err := l.Tx.Get(scope.Key()); errors.Is(err, store.ErrNotFound) {
		return nil, arm.Errorf(404, "ResourceNotFound", "The scope '%s' of the resource links was not found.", scope)
	} else if err != nil {
		return nil, err
	}
	q := store.Query{Kind: control.Kind(linkType), Prefix: scope.Key() + "/"}
	filter := strings.TrimSpace(l.Query.Get("$filter"))
	words := strings.Fields(filter)
	switch {
	case filter == "":
	case strings.EqualFold(filter, "atScope()"):
		q.Prefix = linksOf(scope)
	case len(words) == 3 && strings.EqualFold(words[0], "targetId") && strings.EqualFold(words[1], "eq"):
		term := linkTerm(strings.Trim(words[2], "'"))
		if len(term) > store.MaxTerm || !store.Storable(term) {
			return nil, nil // no link has such a target
		}
		q.All = []string{term}
	default:
		return nil, arm.Errorf(400, "UnsupportedQuery", "The filter '%.300s' is not supported. The supported filters are 'atScope()' and 'targetId eq ID'.", filter)
	}
	return control.Select[Link](l.Tx, q)
}
