package graph

import (
	"net/http"
	"slices"
	"strings"

	"vitrine/internal/directory"
	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/wire"
)

func (c *call) passwordSpec() (directory.SecretSpec, error) {
	var p wire.PasswordCredential
	if err := c.body.Fields(map[string]any{"passwordCredential": &p}); err != nil {
		return directory.SecretSpec{}, err
	}
	return p.Spec()
}

func (c *call) passwordKey() (string, error) {
	var key string
	err := c.body.Fields(map[string]any{"keyId": &key})
	if err == nil && key == "" {
		err = wire.BadRequest("A value is required for property 'keyId' of resource.")
	}
	return key, err
}

func passwordAnswer(words string, s directory.Secret) answer {
	return answer{status: http.StatusOK, entity: entity.New(entity.Kind{Name: "passwordCredential"}, entity.Password(s, words)), context: "microsoft.graph.passwordCredential"}
}

func (d *door) addApplicationPassword(c *call) (answer, error) {
	a, err := d.manageable(c)
	if err != nil {
		return answer{}, err
	}
	spec, err := c.passwordSpec()
	if err != nil {
		return answer{}, err
	}
	words, s, err := d.Directory.AddSecretIn(c.tx, a.AppID, spec)
	return passwordAnswer(words, s), err
}

func (d *door) removeApplicationPassword(c *call) (answer, error) {
	a, err := d.manageable(c)
	if err != nil {
		return answer{}, err
	}
	key, err := c.passwordKey()
	if err != nil {
		return answer{}, err
	}
	_, err = d.Directory.ChangeApplicationIn(c.tx, a.AppID, func(a *directory.Application) error { return a.RemoveSecret(key) })
	return answer{}, noCredential(err, key)
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

func (d *door) listFederated(c *call) (answer, error) {
	a, err := d.application(c)
	if err != nil {
		return answer{}, err
	}
	if err := c.mayRead(""); err != nil {
		return answer{}, err
	}
	var list []*entity.Entity
	for _, f := range a.Federated {
		list = append(list, entity.New(entity.FederatedKind(), entity.FederatedProps(f)))
	}
	return c.listing(federatedPath(a), entity.FederatedKind(), list)
}

func (d *door) createFederated(c *call) (answer, error) {
	a, err := d.manageable(c)
	if err != nil {
		return answer{}, err
	}
	var f directory.FederatedCredential
	if err := c.setFederated(&f, &f.Name); err != nil {
		return answer{}, err
	}
	a, err = d.Directory.ChangeApplicationIn(c.tx, a.AppID, func(a *directory.Application) error {
		a.Federated = append(a.Federated, f)
		return nil
	})
	if err != nil {
		return answer{}, err
	}
	f = a.Federated[len(a.Federated)-1]
	return answer{status: http.StatusCreated, entity: entity.New(entity.FederatedKind(), entity.FederatedProps(f)), context: federatedPath(a),
		location: "applications/" + a.ObjectID + "/federatedIdentityCredentials/" + f.ID}, nil
}

// setFederated puts a body into a credential; name is nil when it may not be set any more.
func (c *call) setFederated(f *directory.FederatedCredential, name *string) error {
	var expression *string
	places := map[string]any{"issuer": &f.Issuer, "subject": &f.Subject, "audiences": &f.Audiences, "description": &f.Description, "claimsMatchingExpression": &expression}
	if name != nil {
		places["name"] = name
	}
	if err := c.body.Fields(places); err != nil {
		return err
	}
	if expression != nil {
		return wire.Unsupported("claimsMatchingExpression of a federated credential")
	}
	return nil
}

func (c *call) federated(list []directory.FederatedCredential) (int, error) {
	key := c.args[1]
	if property, value, ok := alternate(key); ok && property == "name" {
		key = value
	}
	i := slices.IndexFunc(list, func(f directory.FederatedCredential) bool { return strings.EqualFold(f.ID, key) || f.Name == key })
	if i < 0 {
		return i, wire.Missing(key)
	}
	return i, nil
}

func (d *door) getFederated(c *call) (answer, error) {
	a, err := d.application(c)
	if err != nil {
		return answer{}, err
	}
	if err := c.mayRead(""); err != nil {
		return answer{}, err
	}
	i, err := c.federated(a.Federated)
	if err != nil {
		return answer{}, err
	}
	return answer{entity: entity.New(entity.FederatedKind(), entity.FederatedProps(a.Federated[i])), context: federatedPath(a)}, nil
}

func (d *door) changeFederated(c *call) (answer, error) {
	return d.editFederated(c, func(a *directory.Application, i int) error { return c.setFederated(&a.Federated[i], nil) })
}

func (d *door) deleteFederated(c *call) (answer, error) {
	return d.editFederated(c, func(a *directory.Application, i int) error {
		a.Federated = slices.Delete(a.Federated, i, i+1)
		return nil
	})
}

func (d *door) editFederated(c *call, edit func(*directory.Application, int) error) (answer, error) {
	a, err := d.manageable(c)
	if err != nil {
		return answer{}, err
	}
	_, err = d.Directory.ChangeApplicationIn(c.tx, a.AppID, func(a *directory.Application) error {
		i, err := c.federated(a.Federated)
		if err != nil {
			return err
		}
		return edit(a, i)
	})
	return answer{}, err
}
