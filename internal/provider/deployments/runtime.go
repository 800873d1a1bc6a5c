package deployments

import (
	"context"
	"net/http"

	"vitrine/internal/arm"
	"vitrine/internal/provider/deployments/veil"
	"vitrine/internal/template"
	"vitrine/internal/template/tree"
)

// runtime answers reference() and list*() by asking the pipeline, as those who sent the deployment.
type runtime struct {
	ctx    context.Context
	client client
	veil   *veil.Veil // over what list functions answer
}

func (j *job) runtime(ctx context.Context) runtime { return runtime{ctx, j.client, j.plan.veil} }

// Reference implements template.Runtime.
func (r runtime) Reference(id, version string, full bool) (any, error) {
	if version == "" {
		return nil, arm.Errorf(400, "InvalidTemplate", "The template function 'reference' needs an API version, since the template does not declare the resource '%s'.", id)
	}
	v, err := r.ask(http.MethodGet, id, version, nil)
	if err != nil {
		return nil, err
	}
	whole, ok := v.(*tree.Object)
	if !ok {
		return nil, arm.Errorf(400, "InvalidTemplate", "The template function 'reference' is not expected to be used with '%s'.", id)
	}
	if !full {
		properties, _ := whole.Get("properties")
		if properties == nil {
			return tree.NewObject(), nil
		}
		return properties, nil
	}
	whole.Set("apiVersion", version)
	whole.Set("resourceId", id)
	if p, err := arm.ParseID(id); err == nil {
		whole.Set("subscriptionId", p.Subscription)
		whole.Set("resourceGroupName", p.ResourceGroup)
	}
	return whole, nil
}

// List implements template.Runtime.
func (r runtime) List(function, id, version string, body any) (any, error) {
	var raw []byte
	if body != nil {
		var err error
		if raw, err = tree.Encode(body); err != nil {
			return nil, err
		}
	}
	v, err := r.ask(http.MethodPost, id+"/"+function, version, raw)
	if err != nil {
		return nil, err
	}
	answer, err := tree.Encode(v)
	r.veil.Add(template.Texts(answer))
	return v, err
}

func (r runtime) ask(method, path, version string, body []byte) (any, error) {
	answer, err := r.client.do(r.ctx, method, path, version, body)
	if err != nil {
		return nil, err
	}
	if answer.Status == http.StatusAccepted || len(answer.Body) == 0 {
		return nil, arm.Errorf(400, "InvalidTemplate", "The answer of '%s' is not available to a template: it is given later or is empty.", path)
	}
	return tree.Decode(answer.Body)
}
