# check_kubectl PROGRAM: what people do with kubectl, done with this one in a namespace of its own on the
# cluster of KUBECONFIG. Sourced by local_test.sh. One line per habit: a name, what the output must match,
# the command.

table() { # table: lines of NAME | REGEX | COMMAND; "!" before the regex: the command must fail
  local line name regex command
  while IFS= read -r -u 3 line; do
    [ -n "$line" ] || continue
    IFS='|' read -r name regex command <<<"$line"
    name=$(sed 's/ *$//' <<<"$name") regex=$(sed 's/^ *//; s/ *$//; s/%/|/g' <<<"$regex")
    if [ "${regex#!}" != "$regex" ]; then check "$version: $name" fails_with "${regex#!}" bash -c "$command"
    else check "$version: $name" within 8 has "$regex" bash -c "$command"; fi
  done 3<&0 </dev/null
}

follow() { # follow REGEX COMMAND...: what the command prints until a line matches; it is ended then
  local regex=$1 output pid
  output=$(mktemp -p "$dir")
  shift
  "$@" >"$output" 2>&1 </dev/null &
  pid=$!
  for _ in $(seq 80); do
    ! grep -qE "$regex" "$output" || break
    sleep 0.1
  done
  kill "$pid" 2>/dev/null || true
  cat "$output"
}
export -f follow

check_kubectl() {
  local program=$1 minor dir ns
  minor=$("$program" version --client -o json | sed -n 's/.*"minor": "\([0-9]*\).*/\1/p')
  version="kubectl 1.$minor" ns="with-$minor"
  dir=$(mktemp -d)
  ln -s "$program" "$dir/kubectl"
  "$program" delete namespace "$ns" --ignore-not-found >/dev/null 2>&1
  "$program" create namespace "$ns" >/dev/null
  "$program" config view --raw >"$dir/config"
  local PATH=$dir:$PATH HOME=$dir KUBECONFIG=$dir/config # HOME is for its caches
  export PATH HOME KUBECONFIG dir ns
  mkfifo "$dir/silence" # opened for both, input that neither comes nor ends
  "$program" config set-context --current --namespace="$ns" >/dev/null
  write_manifests
  table <<'T'
cluster-info                    | API_SERVER%control plane%Kubernetes       | kubectl cluster-info
api-resources                   | virtualservices .*vs                      | kubectl apply -f $dir/crd.yaml >/dev/null; kubectl api-resources
api-versions                    | apps/v1                                   | kubectl api-versions
config view                     | namespace: with-                          | kubectl config view
explain a built-in field        | securityContext                           | kubectl explain pods.spec.containers
explain a leaf                  | restartPolicy                             | kubectl explain deployment.spec.template.spec.restartPolicy
explain a custom field          | perTryTimeout                             | kubectl explain virtualservice.spec.http.retries
explain what is not there       | !(does not exist%not exist)               | kubectl explain pods.spec.nonsense
apply                           | web (created%configured%unchanged)        | kubectl apply -f $dir/web.yaml
a wrong field is refused        | !(unknown field.*imagee%imagee)           | sed 's/image:/imagee:/' $dir/web.yaml | kubectl apply -f -
a wrong type is refused         | !replicas                                 | sed 's/replicas: 1/replicas: many/' $dir/web.yaml | kubectl apply -f -
server dry run of a new object  | server dry run                            | sed 's/name: web/name: web2/' $dir/web.yaml | kubectl apply --dry-run=server -f -
it stored nothing               | !NotFound                                 | kubectl get deployment web2
server dry run of a change      | configured.*server dry run                | sed 's/replicas: 1/replicas: 5/' $dir/web.yaml | kubectl apply --dry-run=server -f -
client dry run                  | kind: Deployment                          | kubectl create deployment x --image=busybox --dry-run=client -o yaml
diff without a difference       | ^same$                                    | kubectl diff -f $dir/web.yaml && echo same
diff                            | \+ *replicas: 3                           | sed 's/replicas: 1/replicas: 3/' $dir/web.yaml | kubectl diff -f - || true
apply takes a variable away     | ^$                                        | sed '/COLOUR/d' $dir/web.yaml | kubectl apply -f - >/dev/null; kubectl get deploy web -o jsonpath='{..env}'
apply --server-side             | serverside-applied                        | kubectl apply --server-side --field-manager=one -f $dir/settings.yaml
a conflict is told              | !conflict                                 | sed 's/blue/red/' $dir/settings.yaml | kubectl apply --server-side --field-manager=two -f -
and can be forced               | serverside-applied                        | sed 's/blue/red/' $dir/settings.yaml | kubectl apply --server-side --force-conflicts --field-manager=two -f -
edit                            | ^5$                                       | EDITOR='sed -i s/revisionHistoryLimit:.*/revisionHistoryLimit:\ 5/' kubectl edit deployment web >/dev/null; kubectl get deploy web -o jsonpath='{.spec.revisionHistoryLimit}'
rollout status                  | successfully rolled out                   | kubectl rollout status deployment/web --timeout=20s
set image                       | image updated                             | kubectl set image deployment/web web=mccutchen/go-httpbin:2
set env                         | ^web:v7$                                  | kubectl set env deployment/web WHO=v7 >/dev/null; kubectl get deploy web -o jsonpath='{..containers[0].name}:{..env[?(@.name=="WHO")].value}'
rollout after a change          | successfully rolled out                   | kubectl rollout status deployment/web --timeout=20s
rollout history                 | ^2 .*                                     | kubectl rollout history deployment/web
rollout undo                    | rolled back                               | kubectl rollout undo deployment/web
rollout restart                 | restarted                                 | kubectl rollout restart deployment/web
rollout pause                   | paused                                    | kubectl rollout pause deployment/web
rollout resume                  | resumed                                   | kubectl rollout resume deployment/web
scale                           | ^2$                                       | kubectl scale deployment/web --replicas=2 >/dev/null; kubectl get deploy web -o jsonpath='{.status.readyReplicas}'
autoscale                       | Deployment/web                            | kubectl get hpa web >/dev/null 2>&1 || kubectl autoscale deployment web --min=1 --max=3 --cpu-percent=80 >/dev/null; kubectl get hpa
a path that is not UTF-8        | BadRequest                                 | kubectl get --raw /api/v1/namespaces/%ff/pods 2>&1; true
a query that is not UTF-8       | BadRequest                                 | kubectl get --raw "/api/v1/pods?labelSelector=a%3D%ff" 2>&1; true
autoscaling/v1 is served        | ^80$                                      | kubectl get --raw /apis/autoscaling/v1/namespaces/$ns/horizontalpodautoscalers/web | sed 's/.*targetCPUUtilizationPercentage":\([0-9]*\).*/\1/'
autoscaling/v2 is served        | ^80$                                      | kubectl get hpa.v2.autoscaling web -o jsonpath='{.spec.metrics[0].resource.target.averageUtilization}'
run                             | pod/one (created%configured)              | kubectl run one --image=busybox --labels=run=one --grace-period=1 -- sh -c 'trap "exit 0" TERM; while :; do date; sleep 0.2; done' 2>&1 | sed 's/Error.*AlreadyExists.*/pod\/one created/; s/.*already exists.*/pod\/one created/'
wait for a condition            | condition met                             | kubectl wait --for=condition=Ready pod/one --timeout=10s
expose                          | service/web (exposed%created)             | kubectl expose deployment web --port=80 --target-port=8080 2>&1 | sed 's/.*already exists.*/service\/web exposed/'
create configmap                | data: .*a: "?1                            | kubectl create configmap c --from-literal=a=1 --dry-run=client -o yaml | kubectl apply -f - >/dev/null; kubectl get cm c -o yaml | tr '\n' ' '
create secret                   | ^c2VjcmV0$                                | kubectl create secret generic s --from-literal=a=secret --dry-run=client -o yaml | kubectl apply -f - >/dev/null; kubectl get secret s -o jsonpath='{.data.a}'
create job                      | condition met                             | kubectl create job j --image=busybox -- true >/dev/null 2>&1; kubectl wait --for=condition=complete job/j --timeout=10s
logs of a job                   | ^done$                                    | kubectl create job k --image=busybox -- echo done >/dev/null 2>&1; kubectl wait --for=condition=complete job/k --timeout=10s >/dev/null; kubectl logs job/k
create role and binding         | rolebinding.* (created%configured)        | kubectl create role r --verb=get,list --resource=pods --dry-run=client -o yaml | kubectl apply -f - >/dev/null; kubectl -n $ns create rolebinding r --role=r --serviceaccount=$ns:default --dry-run=client -o yaml | kubectl auth reconcile -f - >/dev/null; kubectl get rolebinding r -o name | sed 's/$/ created/'
can-i, as an administrator      | ^yes$                                     | kubectl auth can-i delete nodes
can-i, as an account            | ^yes$                                     | kubectl auth can-i list pods --as=system:serviceaccount:$ns:default
cannot, as an account           | !^no                                      | kubectl auth can-i list secrets --as=system:serviceaccount:$ns:default
what an account may do          | pods +\[\] +\[\] +\[get list\]            | kubectl auth can-i --list --as=system:serviceaccount:$ns:default
acting as an account            | !cannot list resource "secrets"           | kubectl get secrets --as=system:serviceaccount:$ns:default
label                           | ^x$                                       | kubectl label pod one colour=x --overwrite >/dev/null; kubectl get pod -l colour=x -o jsonpath='{.items[0].metadata.labels.colour}'
annotate                        | ^y$                                       | kubectl annotate pod one note=y --overwrite >/dev/null; kubectl get pod one -o jsonpath='{.metadata.annotations.note}'
strategic patch                 | ^z$                                       | kubectl patch pod one -p '{"metadata":{"labels":{"p":"z"}}}' >/dev/null; kubectl get pod one -o jsonpath='{.metadata.labels.p}'
merge patch                     | ^m$                                       | kubectl patch pod one --type=merge -p '{"metadata":{"labels":{"p":"m"}}}' >/dev/null; kubectl get pod one -o jsonpath='{.metadata.labels.p}'
json patch                      | ^j$                                       | kubectl patch pod one --type=json -p '[{"op":"replace","path":"/metadata/labels/p","value":"j"}]' >/dev/null; kubectl get pod one -o jsonpath='{.metadata.labels.p}'
replace                         | replaced                                  | kubectl get cm c -o yaml | kubectl replace -f -
custom columns                  | ^one +Running                             | kubectl get pods -o custom-columns=NAME:.metadata.name,PHASE:.status.phase
field selector                  | ^pod/one$                                 | kubectl get pods --field-selector=metadata.name=one,status.phase=Running -o name
sort and wide                   | NODE                                      | kubectl get pods -o wide --sort-by=.metadata.creationTimestamp
go-template                     | ^one$                                     | kubectl get pod one -o go-template='{{.metadata.name}}'
get all                         | deployment.apps/web                       | kubectl get all
get events                      | Started container                         | kubectl get events
get -w                          | ^one .*Running                            | follow Running kubectl get pod one -w
top says what is missing        | !Metrics (API )?not available             | kubectl top pods
exec                            | ^in$                                      | kubectl exec one -- echo in
exec takes input                | ^through$                                 | echo through | kubectl exec -i one -- cat
exec gives the exit code        | ^7$                                       | kubectl exec one -- sh -c 'exit 7' 2>/dev/null; echo $?
exec on a terminal              | ^[0-9]+ 77                                | script -qec 'stty rows 33 cols 77; timeout --foreground 8 kubectl exec -it one -- sh -c "until stty size | grep 77; do sleep 0.1; done"' /dev/null <>$dir/silence
attach                          | UTC                                       | follow UTC kubectl attach one
run with input                  | typed                                     | kubectl delete pod in --ignore-not-found --now >/dev/null 2>&1; echo typed | timeout 20 kubectl run in --image=busybox --restart=Never -i --rm -- cat
run on a terminal               | SIZE [0-9]+ 91                            | kubectl delete pod tty --ignore-not-found --now >/dev/null 2>&1; script -qec 'stty rows 30 cols 91; timeout --foreground 20 kubectl run tty --image=busybox --restart=Never -it --rm -- sh -c "until stty size | grep -q 91; do sleep 0.1; done; echo SIZE \$(stty size)"' /dev/null <>$dir/silence
logs --tail                     | ^3$                                       | kubectl logs one --tail=3 | wc -l
logs --since                    | ^some$                                    | n=$(kubectl logs one --since=2s | wc -l); [ $n -gt 2 ] && [ $n -lt 25 ] && echo some
logs by label                   | UTC                                       | kubectl logs -l run=one --tail=2
logs -f                         | ^lines$                                   | timeout 8 kubectl logs -f one --tail=1 | head -n 4 | grep -c UTC | sed 's/^4$/lines/'
logs --timestamps               | ^20..-..-..T                              | kubectl logs one --timestamps --tail=1
cp in and out                   | ^carried$                                 | echo carried >$dir/f; kubectl cp $dir/f one:/tmp/f && kubectl cp one:/tmp/f $dir/g >/dev/null && cat $dir/g
port-forward                    | "url"                                     | kubectl port-forward deployment/web :8080 >$dir/pf & p=$!; trap "kill $p" EXIT; until grep -q Forwarding $dir/pf; do sleep 0.1; done; curl -s localhost:$(sed -n 's/.*127.0.0.1:\([0-9]*\).*/\1/p' $dir/pf)/get
proxy                           | "gitVersion"                              | kubectl proxy --port=0 >$dir/px & p=$!; trap "kill $p" EXIT; until grep -q Starting $dir/px; do sleep 0.1; done; curl -s localhost:$(sed 's/.*://' $dir/px)/version
delete with a grace period      | deleted                                   | kubectl delete pod one --grace-period=1 --wait=false
wait for the deletion           | NotFound                                  | kubectl wait --for=delete pod/one --timeout=10s; kubectl get pod one 2>&1 || true
delete by force                 | force deleted                             | kubectl run gone --image=busybox -- sleep 100 >/dev/null; kubectl delete pod gone --force --grace-period=0
delete, dependents first        | ^0$                                       | kubectl delete deployment web --cascade=foreground >/dev/null; kubectl get rs --no-headers -l app=web 2>/dev/null | wc -l
T
  if [ "$minor" -ge 24 ]; then
    table <<'T'
create token                    | ^ey.*\..*\.                               | kubectl create token default
wait for a field                | condition met                             | kubectl wait --for=jsonpath='{.data.a}'=1 cm/c --timeout=5s
whoami                          | kubernetes-admin%mizzen                   | kubectl auth whoami
events                          | Started container                         | kubectl events
explain as a tree               | perTryTimeout                             | kubectl explain virtualservice.spec --recursive
create cronjob                  | cronjob.batch/cron (created%configured)   | kubectl create cronjob cron --image=busybox --schedule='* * * * *' --dry-run=client -o yaml -- date | kubectl apply -f -
a job from a cronjob            | condition met                             | kubectl create job manual --from=cronjob/cron >/dev/null 2>&1; kubectl wait --for=condition=complete job/manual --timeout=10s
delete, leaving orphans         | ^1$                                       | kubectl create deployment o --image=busybox -- sleep 100 >/dev/null; kubectl rollout status deployment/o --timeout=8s >/dev/null; kubectl delete deployment o --cascade=orphan >/dev/null; kubectl get rs --no-headers -l app=o | wc -l
T
  fi
  check "$version: describe of every kind" describe_all
  "$program" delete namespace "$ns" --wait=false >/dev/null
  rm -rf "$dir"
}

# Every kind that can be listed is described, all its objects.
describe_all() {
  local kind output
  for kind in $(kubectl api-resources --verbs=list -o name); do
    output=$(kubectl describe "$kind" -A 2>&1) || output=$(kubectl describe "$kind" 2>&1) || { echo "$kind: $output"; return 1; }
    if grep -qE 'panic|runtime error|error:' <<<"$output"; then echo "$kind: $output"; return 1; fi
  done
}

write_manifests() {
  cat >"$dir/web.yaml" <<'YAML'
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: mccutchen/go-httpbin
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /get, port: http}, periodSeconds: 1}
        resources: {limits: {cpu: 1, memory: 64Mi}, requests: {cpu: 100m}}
        env:
        - {name: COLOUR, value: blue}
YAML
  cat >"$dir/settings.yaml" <<'YAML'
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue}
YAML
  mizzenctl manifest crds >"$dir/crd.yaml"
}
