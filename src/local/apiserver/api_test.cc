// The API as a function: requests in, responses out, webhooks played by the test.
#include "local/apiserver/api.h"

#include <gtest/gtest.h>

#include "base/strings.h"
#include "pki/key.h"

namespace mizzen::local {
namespace {

class ApiTest : public testing::Test {
 protected:
  void SetUp() override {
    auto store =
        Store::open({}, [this](std::function<void()> fn) { work_.push_back(std::move(fn)); });
    store_ = std::move(*store);
    ApiOptions options;
    options.token_key_pem = pki::PrivateKey::generate_p256()->to_pem();
    options.webhooks = [this](WebhookCall call, std::function<void(Result<std::string>)> done) {
      calls_.push_back(call);
      done(webhook_ ? webhook_(Json::parse(call.body)) : fail(Code::kUnavailable, "nobody"));
    };
    api_ = std::make_unique<Api>(*store_, options);
    api_->bootstrap();
    settle();
  }
  void settle() {
    while (!work_.empty()) {
      auto now = std::move(work_);
      work_.clear();
      for (auto& fn : now) fn();
    }
  }
  ApiResponse send(const std::string& method, const std::string& path, const Json& body = nullptr,
                   const std::string& content_type = "application/json",
                   const std::string& accept = "") {
    ApiRequest request;
    request.method = method;
    request.path = path.substr(0, path.find('?'));
    if (path.find('?') != std::string::npos) request.query = path.substr(path.find('?') + 1);
    request.content_type = content_type;
    request.accept = accept;
    if (!body.is_null()) request.body = body.dump();
    ApiResponse answer;
    int times = 0;
    api_->handle(request, [&](ApiResponse response) {
      answer = std::move(response);
      ++times;
    });
    EXPECT_EQ(times, 1);
    settle();
    return answer;
  }
  static Json json(const ApiResponse& response) { return Json::parse(response.body); }
  static Json pod(const std::string& name) {
    return {{"apiVersion", "v1"},
            {"kind", "Pod"},
            {"metadata", {{"name", name}, {"labels", {{"app", name}}}}},
            {"spec", {{"containers", Json::array({{{"name", "c"}, {"image", "i"}}})}}}};
  }
  void add_webhook(bool mutating, const std::string& policy = "Fail") {
    const std::string kind =
        mutating ? "MutatingWebhookConfiguration" : "ValidatingWebhookConfiguration";
    const Json rule = {{"operations", {"CREATE"}},
                       {"apiGroups", {""}},
                       {"apiVersions", {"v1"}},
                       {"resources", {"pods"}}};
    const Json hook = {
        {"name", "hook.test"},
        {"clientConfig",
         {{"service", {{"name", "istiod"}, {"namespace", "istio-system"}, {"path", "/inject"}}}}},
        {"rules", Json::array({rule})},
        {"failurePolicy", policy},
        {"sideEffects", "None"},
        {"admissionReviewVersions", {"v1"}},
        {"objectSelector",
         {{"matchExpressions", Json::array({{{"key", "plain"}, {"operator", "DoesNotExist"}}})}}}};
    const auto made =
        send("POST",
             "/apis/admissionregistration.k8s.io/v1/" +
                 std::string(mutating ? "mutating" : "validating") + "webhookconfigurations",
             {{"apiVersion", "admissionregistration.k8s.io/v1"},
              {"kind", kind},
              {"metadata", {{"name", "w"}}},
              {"webhooks", Json::array({hook})}});
    ASSERT_EQ(made.status, 201) << made.body;
  }

  std::vector<std::function<void()>> work_;
  std::unique_ptr<Store> store_;
  std::vector<WebhookCall> calls_;
  std::function<Result<std::string>(Json)> webhook_;
  std::unique_ptr<Api> api_;
};

constexpr const char* kPods = "/api/v1/namespaces/default/pods";

TEST_F(ApiTest, PodsGetTheirDefaults) {
  const Json made = json(send("POST", kPods, pod("p")));
  EXPECT_EQ(made["spec"]["restartPolicy"], "Always");
  EXPECT_EQ(made["spec"]["serviceAccountName"], "default");
  EXPECT_EQ(made["spec"]["containers"][0]["imagePullPolicy"], "Always");
  EXPECT_EQ(made["spec"]["containers"][0]["volumeMounts"][0]["mountPath"],
            "/var/run/secrets/kubernetes.io/serviceaccount");
  EXPECT_EQ(made["spec"]["volumes"][0]["projected"]["sources"].size(), 3u);
  EXPECT_EQ(made["status"]["phase"], "Pending");
}

TEST_F(ApiTest, ErrorsReadAsKubernetesWritesThem) {
  EXPECT_EQ(json(send("GET", std::string(kPods) + "/x"))["message"], "pods \"x\" not found");
  send("POST", kPods, pod("p"));
  EXPECT_EQ(json(send("POST", kPods, pod("p")))["message"], "pods \"p\" already exists");
  Json bad = pod("q");
  bad["spec"]["containers"][0].erase("image");
  EXPECT_EQ(json(send("POST", kPods, bad))["message"],
            "Pod \"q\" is invalid: spec.containers[0].image: Required value");
  Json unknown = pod("q");
  unknown["spec"]["contaners"] = 1;
  EXPECT_EQ(send("POST", std::string(kPods) + "?fieldValidation=Strict", unknown).status, 400);
  const auto warned = send("POST", kPods, unknown);
  EXPECT_EQ(warned.status, 201);
  ASSERT_EQ(warned.warnings.size(), 1u);
  EXPECT_EQ(warned.warnings[0], "unknown field \"spec.contaners\"; did you mean \"containers\"?");
  EXPECT_FALSE(json(warned)["spec"].contains("contaners"));
  EXPECT_EQ(send("GET", "/api/v1/nothing").status, 404);
  EXPECT_EQ(send("POST", "/api/v1/namespaces/no/pods", pod("p")).status, 404);
}

TEST_F(ApiTest, MutatingWebhooksPatch) {
  add_webhook(true);
  webhook_ = [](const Json& review) -> Result<std::string> {
    EXPECT_EQ(review["request"]["operation"], "CREATE");
    EXPECT_EQ(review["request"]["namespace"], "default");
    const Json patch =
        Json::array({{{"op", "add"}, {"path", "/metadata/labels/injected"}, {"value", "yes"}},
                     {{"op", "add"},
                      {"path", "/spec/containers/-"},
                      {"value", {{"name", "side"}, {"image", "s"}}}}});
    return Json{{"response",
                 {{"uid", review["request"]["uid"]},
                  {"allowed", true},
                  {"patchType", "JSONPatch"},
                  {"patch", base64_encode(patch.dump())}}}}
        .dump();
  };
  const Json made = json(send("POST", kPods, pod("p")));
  EXPECT_EQ(made["metadata"]["labels"]["injected"], "yes");
  // What a webhook adds gets its defaults too.
  EXPECT_EQ(made["spec"]["containers"][1]["volumeMounts"].size(), 1u);
  ASSERT_EQ(calls_.size(), 1u);
  EXPECT_EQ(calls_[0].url, "https://istiod.istio-system.svc:443/inject");
  Json plain = pod("plain");
  plain["metadata"]["labels"]["plain"] = "1";
  send("POST", kPods, plain);
  EXPECT_EQ(calls_.size(), 1u);
}

TEST_F(ApiTest, WebhooksRefuseOrFail) {
  add_webhook(false);
  EXPECT_EQ(send("POST", kPods, pod("p")).status, 500);
  webhook_ = [](const Json& review) -> Result<std::string> {
    return Json{{"response",
                 {{"uid", review["request"]["uid"]},
                  {"allowed", false},
                  {"status", {{"message", "not today"}}}}}}
        .dump();
  };
  const auto refused = send("POST", kPods, pod("p"));
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(json(refused)["message"],
            "admission webhook \"hook.test\" denied the request: not today");
  EXPECT_EQ(store_->count("pods"), 0u);
}

TEST_F(ApiTest, FailingWebhooksMayBeIgnored) {
  add_webhook(true, "Ignore");
  EXPECT_EQ(send("POST", kPods, pod("p")).status, 201);
}

TEST_F(ApiTest, ControllersCreateThroughAdmission) {
  add_webhook(true, "Ignore");
  Json object = pod("p");
  object["metadata"]["namespace"] = "default";
  Result<Object> made = fail(Code::kInternal, "not called");
  api_->create_object(object, [&](Result<Object> result) { made = std::move(result); });
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(calls_.size(), 1u);
  EXPECT_EQ(text_at(**made, {"spec", "dnsPolicy"}), "ClusterFirst");
}

TEST_F(ApiTest, PatchesOfEveryKind) {
  send("POST", kPods, pod("p"));
  const std::string path = std::string(kPods) + "/p";
  EXPECT_EQ(send("PATCH", path, {{"metadata", {{"labels", {{"a", "b"}}}}}},
                 "application/merge-patch+json")
                .status,
            200);
  EXPECT_EQ(send("PATCH", path, Json::array({{{"op", "remove"}, {"path", "/metadata/labels/a"}}}),
                 "application/json-patch+json")
                .status,
            200);
  const Json patch = {{"spec", {{"containers", Json::array({{{"name", "c"}, {"image", "new"}}})}}}};
  const Json patched = json(send("PATCH", path, patch, "application/strategic-merge-patch+json"));
  EXPECT_EQ(patched["spec"]["containers"][0]["image"], "new");
  EXPECT_EQ(patched["spec"]["containers"][0]["terminationMessagePolicy"], "File");
  EXPECT_EQ(send("PATCH", path, patch, "text/plain").status, 415);
  const Json map = {{"apiVersion", "v1"},
                    {"kind", "ConfigMap"},
                    {"metadata", {{"name", "m"}}},
                    {"data", {{"k", "v"}}}};
  EXPECT_EQ(send("PATCH", "/api/v1/namespaces/default/configmaps/m?fieldManager=t", map,
                 "application/apply-patch+yaml")
                .status,
            201);
}

TEST_F(ApiTest, ServicesGetAddressesAndPorts) {
  auto service = [](const std::string& name, Json spec) {
    spec["ports"] = Json::array({{{"port", 80}}});
    return Json{{"apiVersion", "v1"},
                {"kind", "Service"},
                {"metadata", {{"name", name}}},
                {"spec", std::move(spec)}};
  };
  const std::string path = "/api/v1/namespaces/default/services";
  const Json first = json(send("POST", path, service("a", Json::object())));
  EXPECT_TRUE(first["spec"]["clusterIP"].get<std::string>().starts_with("10.96."));
  EXPECT_EQ(
      json(send("POST", path, service("b", {{"clusterIP", "None"}})))["spec"]["clusterIPs"][0],
      "None");
  EXPECT_EQ(json(send("POST", path,
                      service("c", {{"type", "NodePort"}})))["spec"]["ports"][0]["nodePort"],
            30000);
  EXPECT_EQ(send("POST", path, service("d", {{"clusterIP", first["spec"]["clusterIP"]}})).status,
            422);
  EXPECT_EQ(send("POST", path, service("e", {{"clusterIP", "1.2.3.4"}})).status, 422);
}

TEST_F(ApiTest, TokensNameTheirAccount) {
  const Json asked = {{"spec", {{"audiences", {"istio-ca"}}, {"expirationSeconds", 3600}}}};
  const Json answer =
      json(send("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", asked));
  const std::string token = answer["status"]["token"];
  auto caller = api_->authenticate(token, "istio-ca");
  ASSERT_TRUE(caller) << caller.error().message;
  EXPECT_EQ(caller->user, "system:serviceaccount:default:default");
  EXPECT_FALSE(api_->authenticate(token));
  const Json review = json(send("POST", "/apis/authentication.k8s.io/v1/tokenreviews",
                                {{"spec", {{"token", token}, {"audiences", {"istio-ca"}}}}}));
  EXPECT_EQ(review["status"]["authenticated"], true);
  EXPECT_EQ(review["status"]["user"]["username"], "system:serviceaccount:default:default");
}

TEST_F(ApiTest, ListsPageByPageAndAsTables) {
  for (const char* name : {"a", "b", "c"}) send("POST", kPods, pod(name));
  const Json first = json(send("GET", std::string(kPods) + "?limit=2"));
  EXPECT_EQ(first["items"].size(), 2u);
  const Json rest = json(send("GET", std::string(kPods) + "?limit=2&continue=" +
                                         first["metadata"]["continue"].get<std::string>()));
  ASSERT_EQ(rest["items"].size(), 1u);
  EXPECT_EQ(rest["items"][0]["metadata"]["name"], "c");
  const Json table = json(send("GET", std::string(kPods) + "?labelSelector=app%3Da", nullptr, "",
                               "application/json;as=Table;v=v1;g=meta.k8s.io"));
  EXPECT_EQ(table["kind"], "Table");
  ASSERT_EQ(table["rows"].size(), 1u);
  EXPECT_EQ(table["rows"][0]["cells"][0], "a");
}

TEST_F(ApiTest, WatchesStartWhereAsked) {
  send("POST", kPods, pod("a"));
  std::string seen;
  ApiRequest request;
  request.path = kPods;
  request.query = "watch=1";
  ASSERT_TRUE(api_->is_watch(request));
  auto watch = api_->start_watch(request, [&](std::string text) { seen += text; });
  ASSERT_TRUE(watch);
  EXPECT_NE(seen.find("\"ADDED\""), std::string::npos);
  seen.clear();
  send("DELETE", std::string(kPods) + "/a");
  EXPECT_NE(seen.find("\"DELETED\""), std::string::npos);
}

TEST_F(ApiTest, NamespacesTakeTheirContentsAlong) {
  send("POST", "/api/v1/namespaces", {{"metadata", {{"name", "n"}}}});
  EXPECT_NE(store_->get({"serviceaccounts", "n", "default"}), nullptr);
  send("POST", "/api/v1/namespaces/n/pods", pod("p"));
  send("DELETE", "/api/v1/namespaces/n");
  EXPECT_EQ(store_->get({"pods", "n", "p"}), nullptr);
  EXPECT_EQ(store_->get({"namespaces", "", "n"}), nullptr);
}

TEST_F(ApiTest, DryRunsChangeNothing) {
  EXPECT_EQ(send("POST", std::string(kPods) + "?dryRun=All", pod("p")).status, 201);
  EXPECT_EQ(store_->count("pods"), 0u);
}

}  // namespace
}  // namespace mizzen::local
