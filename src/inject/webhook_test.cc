#include "inject/webhook.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace mizzen::inject {
namespace {

Webhooks webhooks(Json labels) {
  return Webhooks({}, [labels](const std::string&) { return labels; });
}

Json review(Json object, const char* kind) {
  return {{"apiVersion", "admission.k8s.io/v1"},
          {"kind", "AdmissionReview"},
          {"request",
           {{"uid", "u-1"},
            {"namespace", "default"},
            {"kind", {{"kind", kind}}},
            {"object", std::move(object)}}}};
}

Json pod() {
  return {{"metadata",
           {{"generateName", "reviews-v1-abc-"},
            {"labels", {{"app", "reviews"}, {"pod-template-hash", "abc"}}},
            {"ownerReferences",
             {{{"kind", "ReplicaSet"}, {"name", "reviews-v1-abc"}, {"controller", true}}}}}},
          {"spec", {{"containers", {{{"name", "reviews"}}}}}}};
}

Json virtual_service(const char* spec) {
  return {{"apiVersion", "networking.istio.io/v1"},
          {"kind", "VirtualService"},
          {"metadata", {{"name", "v"}, {"namespace", "default"}}},
          {"spec", Json::parse(spec)}};
}

TEST(Webhooks, InjectsByPatch) {
  Webhooks hooks = webhooks({{"istio-injection", "enabled"}});
  const Json answer = hooks.review_injection(review(pod(), "Pod"));
  const Json& response = answer.at("response");
  EXPECT_EQ(response.at("uid"), "u-1");
  EXPECT_EQ(response.at("allowed"), true);
  EXPECT_EQ(response.at("patchType"), "JSONPatch");
  const Json patch = Json::parse(*base64_decode(response.at("patch").get<std::string>()));
  const Json after = pod().patch(patch);
  EXPECT_EQ(after.at("spec").at("containers").size(), 2u);
  // The Deployment's name, not the ReplicaSet's.
  EXPECT_NE(after.dump().find("deployments/reviews-v1\""), std::string::npos);
  EXPECT_EQ(hooks.counters().injected, 1u);
}

TEST(Webhooks, LeavesTheRestAlone) {
  Webhooks hooks = webhooks(Json::object());
  const Json response = hooks.review_injection(review(pod(), "Pod")).at("response");
  EXPECT_EQ(response.at("allowed"), true);
  EXPECT_FALSE(response.contains("patch"));
}

TEST(Webhooks, RefusesWithObjectFieldAndRemedy) {
  Webhooks hooks = webhooks(Json::object());
  const Json response =
      hooks
          .review_validity(review(
              virtual_service(
                  R"({"hosts": ["r"], "http": [{"route": [{"destination": {"host": "r"}, "weight": -1}]}]})"),
              "VirtualService"))
          .at("response");
  EXPECT_EQ(response.at("allowed"), false);
  const std::string message = response.at("status").at("message");
  EXPECT_EQ(message.rfind("VirtualService default/v: spec.http[0].route[0].weight: ", 0), 0u)
      << message;
}

TEST(Webhooks, AcceptsWhatIsRight) {
  Webhooks hooks = webhooks(Json::object());
  const Json good =
      virtual_service(R"({"hosts": ["r"], "http": [{"route": [{"destination": {"host": "r"}}]}]})");
  EXPECT_EQ(hooks.review_validity(review(good, "VirtualService")).at("response").at("allowed"),
            true);
}

TEST(Webhooks, SurvivesRubbish) {
  Webhooks hooks = webhooks(Json::object());
  for (const Json& rubbish : {Json(), Json::array(), Json{{"request", 1}}, Json{{"request", {}}},
                              Json{{"request", {{"object", {{"spec", 5}}}}}}}) {
    EXPECT_TRUE(hooks.review_injection(rubbish).contains("response"));
    EXPECT_TRUE(hooks.review_validity(rubbish).contains("response"));
  }
  EXPECT_GT(hooks.counters().malformed, 0u);
}

}  // namespace
}  // namespace mizzen::inject
