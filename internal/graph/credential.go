package graph

import (
	"net/http"
	"slices"
	"strings"

	"vitrine/internal/directory"
	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/rest"
	"vitrine/internal/graph/wire"
)

func passwordSpec(c *rest.Call) (directory.SecretSpec, error) {
	var p wire.PasswordCredential
	if err := c.Body.Fields(map[string]any{"passwordCredential": &p}); err != nil {
		return directory.SecretSpec{}, err
	}
	return p.Spec()
}

func passwordKey(c *rest.Call) (string, error) {
	var key string
	err := c.Body.Fields(map[string]any{"keyId": &key})
	if err == nil && key == "" {
		err = wire.BadRequest("A value is required for property 'keyId' of resource.")
	}
	return key, err
}

func passwordAnswer(words string, s directory.Secret) rest.Answer {
	return rest.Answer{Status: http.StatusOK, Entity: entity.New(entity.Kind{Name: "passwordCredential"}, entity.Password(s, words)), Context: "microsoft.graph.passwordCredential"}
}

func (d *door) addApplicationPassword(c *rest.Call) (rest.Answer, error) {
	a, err := d.manageable(c)
	if err != nil {
		return rest.Answer{}, err
	}
	spec, err := passwordSpec(c)
	if err != nil {
		return rest.Answer{}, err
	}
	words, s, err := d.Directory.AddSecretIn(c.Tx, a.AppID, spec)
	return passwordAnswer(words, s), err
}

func (d *door) removeApplicationPassword(c *rest.Call) (rest.Answer, error) {
	a, err := d.manageable(c)
	if err != nil {
		return rest.Answer{}, err
	}
	key, err := passwordKey(c)
	if err != nil {
		return rest.Answer{}, err
	}
	_, err = d.Directory.ChangeApplicationIn(c.Tx, a.AppID, func(a *directory.Application) error { return a.RemoveSecret(key) })
	return rest.Answer{}, noCredential(err, key)
}

// noCredential words a missing secret as Graph does: 400, not 404.
func noCredential(err error, key string) error {
	if err != nil && directory.IsMissing(err) {
		return wire.BadRequest("No password credential found with keyId '%.64s'.", key)
	}
	return err
}

const federatedContext = "applications('%s')/federatedIdentityCredentials"

func federatedPath(a directory.Application) string {
	return strings.Replace(federatedContext, "%s", a.ObjectID, 1)
}

func (d *door) listFederated(c *rest.Call) (rest.Answer, error) {
	a, err := d.application(c)
	if err != nil {
		return rest.Answer{}, err
	}
	if err := c.MayRead(""); err != nil {
		return rest.Answer{}, err
	}
	var list []*entity.Entity
	for _, f := range a.Federated {
		list = append(list, entity.New(entity.FederatedKind(), entity.FederatedProps(f)))
	}
	return c.Listing(federatedPath(a), entity.FederatedKind(), list)
}

func (d *door) createFederated(c *rest.Call) (rest.Answer, error) {
	a, err := d.manageable(c)
	if err != nil {
		return rest.Answer{}, err
	}
	var f directory.FederatedCredential
	if err := setFederated(c, &f, &f.Name); err != nil {
		return rest.Answer{}, err
	}
	a, err = d.Directory.ChangeApplicationIn(c.Tx, a.AppID, func(a *directory.Application) error {
		a.Federated = append(a.Federated, f)
		return nil
	})
	if err != nil {
		return rest.Answer{}, err
	}
	f = a.Federated[len(a.Federated)-1]
	return rest.Answer{Status: http.StatusCreated, Entity: entity.New(entity.FederatedKind(), entity.FederatedProps(f)), Context: federatedPath(a),
		Location: "applications/" + a.ObjectID + "/federatedIdentityCredentials/" + f.ID}, nil
}

// setFederated puts a body into a credential; name is nil when it may not be set any more.
func setFederated(c *rest.Call, f *directory.FederatedCredential, name *string) error {
	var expression *string
	places := map[string]any{"issuer": &f.Issuer, "subject": &f.Subject, "audiences": &f.Audiences, "description": &f.Description, "claimsMatchingExpression": &expression}
	if name != nil {
		places["name"] = name
	}
	if err := c.Body.Fields(places); err != nil {
		return err
	}
	if expression != nil {
		return wire.Unsupported("claimsMatchingExpression of a federated credential")
	}
	return nil
}

func federated(c *rest.Call, list []directory.FederatedCredential) (int, error) {
	key := c.Args[1]
	if property, value, ok := rest.Alternate(key); ok && property == "name" {
		key = value
	}
	i := slices.IndexFunc(list, func(f directory.FederatedCredential) bool { return strings.EqualFold(f.ID, key) || f.Name == key })
	if i < 0 {
		return i, wire.Missing(key)
	}
	return i, nil
}

func (d *door) getFederated(c *rest.Call) (rest.Answer, error) {
	a, err := d.application(c)
	if err != nil {
		return rest.Answer{}, err
	}
	if err := c.MayRead(""); err != nil {
		return rest.Answer{}, err
	}
	i, err := federated(c, a.Federated)
	if err != nil {
		return rest.Answer{}, err
	}
	return rest.Answer{Entity: entity.New(entity.FederatedKind(), entity.FederatedProps(a.Federated[i])), Context: federatedPath(a)}, nil
}

func (d *door) changeFederated(c *rest.Call) (rest.Answer, error) {
	return d.editFederated(c, func(a *directory.Application, i int) error { return setFederated(c, &a.Federated[i], nil) })
}

func (d *door) deleteFederated(c *rest.Call) (rest.Answer, error) {
	return d.editFederated(c, func(a *directory.Application, i int) error {
		a.Federated = slices.Delete(a.Federated, i, i+1)
		return nil
	})
}

func (d *door) editFederated(c *rest.Call, edit func(*directory.Application, int) error) (rest.Answer, error) {
	a, err := d.manageable(c)
	if err != nil {
		return rest.Answer{}, err
	}
	_, err = d.Directory.ChangeApplicationIn(c.Tx, a.AppID, func(a *directory.Application) error {
		i, err := federated(c, a.Federated)
		if err != nil {
			return err
		}
		return edit(a, i)
	})
	return rest.Answer{}, err
}
