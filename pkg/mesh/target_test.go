package mesh

import (
	"errors"
	"testing"
)

func TestParseTarget_TakesWhatKubectlTakes(t *testing.T) {
	for in, want := range map[string]Target{
		"deploy/x": {TypeDeployment, "x"}, "deployment/x": {TypeDeployment, "x"}, "deployments/x": {TypeDeployment, "x"}, "Deployment/x": {TypeDeployment, "x"},
		"deployments.apps/x": {TypeDeployment, "x"}, "deployment.v1.apps/x": {TypeDeployment, "x"}, "po/x": {TypePod, "x"}, "pod/x": {TypePod, "x"}, "pods/x": {TypePod, "x"},
		"sts/x": {TypeStatefulSet, "x"}, "ds/x": {TypeDaemonSet, "x"}, "rs/x": {TypeReplicaSet, "x"}, "job/x": {TypeJob, "x"}, "cj/x": {TypeCronJob, "x"},
		"svc/x": {TypeService, "x"}, "services/x": {TypeService, "x"}, "gateway/x": {TypeGateway, "x"}, "gateways.gateway.networking.k8s.io/x": {TypeGateway, "x"},
		"istiogateway/x": {TypeIstioGateway, "x"},
	} {
		if got, err := ParseTarget(in); err != nil || got != want {
			t.Errorf("%s: %v %v", in, got, err)
		}
	}
	if s := (Target{TypeDeployment, "x"}).String(); s != "deploy/x" {
		t.Error(s)
	}
}

func TestParseTarget_SaysWhatItWants(t *testing.T) {
	const hint = "\nhint: write TYPE/NAME, such as deploy/productpage; known types: deploy, pod, sts, ds, rs, job, cj, svc, gateway, istiogateway\n"
	for in, want := range map[string]string{
		"":                               `target "": is empty`,
		"web":                            `target "web": has no type`,
		"deploy/":                        `target "deploy/": has no name`,
		"a/b/c":                          `target "a/b/c": has more than one slash`,
		"node/x":                         `target "node/x": has an unknown type`,
		"gateways.networking.istio.io/x": `target "gateways.networking.istio.io/x": has an unknown type`,
		"vs/\x1b[31mx":                   `target "vs/\x1b[31mx": has an unknown type`,
	} {
		_, err := ParseTarget(in)
		var target *TargetError
		if !errors.As(err, &target) || messages(target) != want+hint {
			t.Errorf("%q: %s", in, messages(err))
		}
	}
}
