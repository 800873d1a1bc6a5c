package operator

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/client"
	"vitrine/internal/control"
	"vitrine/internal/directory"
	"vitrine/internal/operation"
	"vitrine/internal/provider/authorization"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
	"vitrine/internal/token"
	"vitrine/internal/vm"
)

const owner = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"

// createTenant makes everything in one transaction: half a tenant helps nobody.
func (d *door) createTenant(ctx context.Context, in client.TenantRequest) (any, error) {
	var out client.Tenant
	err := d.Store.Update(ctx, func(tx store.Tx) error {
		t, err := d.Directory.CreateTenantIn(tx, directory.Tenant{ID: in.ID, Name: in.Name})
		if err != nil {
			return err
		}
		app, sp, err := d.Directory.CreateApplicationIn(tx, directory.Application{TenantID: t.ID, DisplayName: t.Name + " administrator", SignInAudience: directory.SingleTenant})
		if err != nil {
			return err
		}
		if err := d.Directory.GrantDirectoryRoleIn(tx, t.ID, app.AppID, directory.GlobalAdministrator); err != nil {
			return err
		}
		password, _, err := d.Directory.AddSecretIn(tx, app.AppID, directory.SecretSpec{DisplayName: "first"})
		if err != nil {
			return err
		}
		sub, err := d.subscribe(tx, t, sp, t.Name, in.Subscription)
		out = client.Tenant{TenantID: t.ID, Name: t.Name, SubscriptionID: sub.ID, AppID: app.AppID, ObjectID: sp.ObjectID, Password: password}
		return err
	})
	return out, err
}

// subscribe writes a subscription and makes a principal its Owner.
func (d *door) subscribe(tx store.Tx, t directory.Tenant, sp directory.ServicePrincipal, name, id string) (control.Subscription, error) {
	s := control.Subscription{ID: strings.ToLower(id), Name: name, State: "Enabled", Tenant: t.ID}
	if s.ID == "" {
		s.ID = uuid.NewString()
	}
	if !arm.IsGUID(s.ID) {
		return s, arm.Errorf(400, "InvalidSubscriptionId", "The provided subscription identifier '%s' is malformed or invalid.", id)
	}
	err := control.WriteSubscription(tx, s)
	if errors.Is(err, store.ErrConflict) {
		return s, arm.Errorf(409, "AlreadyExists", "The subscription '%s' exists already.", s.ID)
	}
	if err != nil {
		return s, err
	}
	return s, authorization.Grant(tx, arm.ID{Subscription: s.ID}, owner, sp.ObjectID, d.Now())
}

func (d *door) listTenants(r *http.Request) (any, error) {
	tenants, err := d.Directory.Tenants(r.Context())
	if err != nil {
		return nil, err
	}
	list := []client.TenantInfo{}
	err = d.Store.View(r.Context(), func(tx store.Tx) error {
		for _, t := range tenants {
			info := client.TenantInfo{TenantID: t.ID, Name: t.Name, Subscriptions: []client.SubscriptionInfo{}}
			docs, err := tx.List(store.Query{Kind: control.SubscriptionKind, All: []string{"tenant:" + t.ID}})
			if err != nil {
				return err
			}
			for _, doc := range docs {
				var s control.Subscription
				if err := json.Unmarshal(doc.Body, &s); err != nil {
					return err
				}
				info.Subscriptions = append(info.Subscriptions, client.SubscriptionInfo{SubscriptionID: s.ID, Name: s.Name})
			}
			list = append(list, info)
		}
		return nil
	})
	return list, err
}

func (d *door) createSubscription(ctx context.Context, in client.SubscriptionRequest) (any, error) {
	var out client.SubscriptionInfo
	t, sp, err := d.first(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(in.Name) == "" || len(in.Name) > 64 {
		return nil, arm.Errorf(400, "InvalidParameter", "A subscription needs a name of 1 to 64 characters.").At("name")
	}
	err = d.Store.Update(ctx, func(tx store.Tx) error {
		s, err := d.subscribe(tx, t, sp, in.Name, in.ID)
		out = client.SubscriptionInfo{SubscriptionID: s.ID, Name: s.Name, TenantID: t.ID}
		return err
	})
	return out, err
}

// first finds a tenant and the principal that was made with it.
func (d *door) first(ctx context.Context, tenant string) (directory.Tenant, directory.ServicePrincipal, error) {
	t, err := d.Directory.FindTenant(ctx, tenant)
	if err != nil {
		return t, directory.ServicePrincipal{}, err
	}
	all, err := d.Directory.Principals(ctx, t.ID)
	if err != nil {
		return t, directory.ServicePrincipal{}, err
	}
	var found directory.ServicePrincipal
	for _, sp := range all {
		if sp.Has(directory.GlobalAdministrator) && (found.AppID == "" || sp.Created.Before(found.Created)) {
			found = sp
		}
	}
	if found.AppID == "" {
		return t, found, arm.Errorf(404, "PrincipalNotFound", "The tenant '%s' has no administrator any more.", t.Name)
	}
	return t, found, nil
}

func (d *door) createApp(ctx context.Context, in client.AppRequest) (any, error) {
	t, err := d.Directory.FindTenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	audience := directory.SingleTenant
	if in.MultiTenant {
		audience = directory.MultiTenant
	}
	var out client.App
	err = d.Store.Update(ctx, func(tx store.Tx) error {
		app, sp, err := d.Directory.CreateApplicationIn(tx, directory.Application{TenantID: t.ID, DisplayName: in.Name, SignInAudience: audience})
		if err != nil {
			return err
		}
		password, _, err := d.Directory.AddSecretIn(tx, app.AppID, directory.SecretSpec{DisplayName: "first", End: in.SecretEnd})
		out = client.App{AppID: app.AppID, ObjectID: sp.ObjectID, TenantID: t.ID, Password: password}
		return err
	})
	return out, err
}

func (d *door) consent(ctx context.Context, in client.ConsentRequest) (any, error) {
	t, err := d.Directory.FindTenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	sp, err := d.Directory.CreateServicePrincipal(ctx, t.ID, in.AppID)
	return client.App{AppID: sp.AppID, ObjectID: sp.ObjectID, TenantID: t.ID}, err
}

// assign is an ordinary request to ARM, sent as the first principal of the tenant that owns the scope.
func (d *door) assign(ctx context.Context, in client.RoleRequest) (any, error) {
	role, ok := rbac.RoleByName(in.Role)
	if !ok {
		if role, ok = rbac.RoleByGUID(in.Role); !ok {
			return nil, arm.Errorf(404, "RoleDefinitionDoesNotExist", "There is no role '%s'.", in.Role).At("role")
		}
	}
	scope, err := arm.ParseID(in.Scope)
	if err != nil || scope.Subscription == "" {
		return nil, arm.Errorf(400, "InvalidParameter", "The scope '%s' is not the ID of a subscription, of a resource group or of a resource.", in.Scope).At("scope")
	}
	var tenant string
	err = d.Store.View(ctx, func(tx store.Tx) (err error) {
		tenant, err = control.TenantOf(tx, scope.Subscription)
		return err
	})
	if err != nil {
		return nil, arm.Errorf(404, "SubscriptionNotFound", "The subscription '%s' could not be found.", scope.Subscription).Because(err)
	}
	_, sp, err := d.first(ctx, tenant)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{"properties": map[string]string{"principalId": in.Principal,
		"roleDefinitionId": authorization.RoleDefinitionID(scope.Subscription, role.GUID)}})
	if err != nil {
		return nil, err
	}
	// The name follows from what is assigned, so that assigning twice is assigning once.
	name := uuid.NewSHA1(uuid.NameSpaceOID, []byte(scope.Key()+"|"+role.GUID+"|"+strings.ToLower(in.Principal))).String()
	id := strings.TrimSuffix(scope.String(), "/") + "/providers/Microsoft.Authorization/roleAssignments/" + name
	_, err = d.Control.Do(ctx, control.Request{Method: http.MethodPut, Path: id, Query: url.Values{"api-version": {"2022-04-01"}},
		Header: http.Header{}, Body: body, Caller: authn.Caller{Primary: principalOf(sp)}})
	if refused, ok := errors.AsType[*arm.Error](err); ok && refused.Code == "RoleAssignmentExists" {
		err = nil
	}
	return client.Role{ID: id, Role: role.Name, Scope: in.Scope, Principal: in.Principal}, err
}

func principalOf(sp directory.ServicePrincipal) authn.Principal {
	return authn.Principal{TenantID: sp.TenantID, ObjectID: sp.ObjectID, AppID: sp.AppID, Name: sp.DisplayName,
		Kind: authn.ServicePrincipal, HomeTenant: sp.HomeTenant}
}

const maxLifetime = 24 * 60 * 60 // seconds

// issue makes an access token for a service principal; the operator could read the signing key anyway.
func (d *door) issue(ctx context.Context, in client.TokenRequest) (any, error) {
	t, sp, err := d.first(ctx, in.Tenant)
	if err == nil && in.AppID != "" {
		sp, err = d.Directory.Principal(ctx, t.ID, in.AppID)
	}
	if err != nil {
		return nil, err
	}
	name := in.Resource
	if name == "" {
		name = "https://management.azure.com/"
	}
	resource, ok := token.ParseResource(name)
	if !ok || in.Lifetime < 0 || in.Lifetime > maxLifetime {
		return nil, arm.Errorf(400, "InvalidParameter", "A token is for a known resource and lives at most %d seconds.", maxLifetime)
	}
	raw, claims, err := d.Tokens.Issue(ctx, token.Request{TenantID: t.ID, Resource: resource, AppID: sp.AppID, AppIDACR: "1",
		ObjectID: sp.ObjectID, Lifetime: time.Duration(in.Lifetime) * time.Second})
	return client.Token{AccessToken: raw, TenantID: t.ID, AppID: sp.AppID, Expires: claims.Expires()}, err
}

// collect frees image bytes that nobody names any more, without waiting for the hour.
func (d *door) collect(ctx context.Context, in client.CollectRequest) (any, error) {
	if d.Collect == nil {
		return nil, arm.Errorf(501, "NotImplemented", "This server keeps no image bytes.")
	}
	if in.Grace < 0 {
		return nil, arm.Errorf(400, "InvalidParameter", "The grace is a number of seconds, 0 or more.").At("grace")
	}
	return d.Collect(ctx, time.Duration(in.Grace)*time.Second)
}

const maxOperations = 1000

// operations lists the work that has not ended.
func (d *door) operations(r *http.Request) (any, error) {
	open := []client.Operation{}
	err := d.Store.View(r.Context(), func(tx store.Tx) error {
		all, err := operation.Unfinished(tx, maxOperations)
		open = open[:0]
		for _, o := range all {
			open = append(open, client.Operation{ID: o.ID, Work: o.Work, Resource: o.Resource, Status: string(o.Status), Done: o.Done, Start: o.Start})
		}
		return err
	})
	return open, err
}

// serial answers what a machine wrote to its serial port, by its vmId: there it shows its SSH host keys.
func (d *door) serial(r *http.Request) (any, error) {
	id := r.URL.Query().Get("vm")
	if !arm.IsGUID(id) {
		return nil, arm.Errorf(400, "InvalidParameter", "A machine's vmId is a GUID.").At("vm")
	}
	if d.Serial == nil {
		return nil, arm.Errorf(501, "NotImplemented", "This server runs no machines.")
	}
	text, err := d.Serial(r.Context(), strings.ToLower(id))
	if errors.Is(err, vm.ErrNotFound) {
		return nil, arm.Errorf(404, "NotFound", "There is no machine with the vmId '%s'.", id)
	}
	return map[string]string{"text": strings.ToValidUTF8(string(text), "?")}, err
}

// connect joins the socket's connection with one into a virtual network.
func (d *door) connect(w http.ResponseWriter, r *http.Request) error {
	host, port, err := net.SplitHostPort(r.URL.Query().Get("target"))
	if err != nil {
		return arm.Errorf(400, "InvalidParameter", "The target must be HOST:PORT.").At("target")
	}
	far, err := d.Dial(r.Context(), host, port)
	d.Log.Info("operator", "act", "vm connect", "uid", r.Context().Value(peerKey{}), "host", host, "port", port, "error", err)
	if err != nil {
		return arm.Errorf(502, "ConnectionFailed", "The machine at %s does not take a connection on port %s: %s.", host, port, err)
	}
	defer far.Close()
	near, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	defer near.Close()
	if _, err := near.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: vitrine-stream\r\n\r\n")); err != nil {
		return nil // hijacked: there is nobody left to tell
	}
	join(near, buffered, far)
	return nil
}

// join copies both ways until both ends are done.
func join(near net.Conn, buffered io.Reader, far net.Conn) {
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(far, buffered) // an end of either side ends the stream; the reason is the peers' affair
		closeWrite(far)
		close(done)
	}()
	_, _ = io.Copy(near, far)
	closeWrite(near)
	<-done
}

func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	_ = c.Close()
}
