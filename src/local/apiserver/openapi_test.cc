#include "local/apiserver/openapi.h"

#include <gtest/gtest.h>

#include "config/crd.h"
#include "object/json.h"

namespace mizzen::local {
namespace {

class OpenApiTest : public testing::Test {
 protected:
  OpenApiTest() : openapi_(types_) {
    for (const Json& crd : config::crds()) types_.set_custom(crd);
  }
  Json get(const std::string& path) {
    ApiRequest request;
    request.path = path;
    auto response = openapi_.answer(request);
    return response ? Json::parse(response->body) : Json();
  }
  Types types_;
  OpenApi openapi_;
};

// Every reference leads somewhere.
void check_references(const Json& value, const Json& document) {
  if (value.is_object() && value.contains("$ref")) {
    const Json::json_pointer at(value["$ref"].get<std::string>().substr(1));
    EXPECT_TRUE(document.contains(at)) << value["$ref"];
  }
  if (!value.is_structured()) return;
  for (const Json& each : value) check_references(each, document);
}

TEST_F(OpenApiTest, Version2HasEveryKind) {
  const Json document = get("/openapi/v2");
  check_references(document, document);
  const Json& all = document["definitions"];
  const Json& container = all["io.k8s.api.core.v1.Container"]["properties"];
  EXPECT_EQ(container["env"]["items"]["$ref"], "#/definitions/io.k8s.api.core.v1.EnvVar");
  EXPECT_EQ(container["ports"]["x-kubernetes-patch-merge-key"], "containerPort");
  EXPECT_EQ(container["command"].value("x-kubernetes-patch-merge-key", ""), "");
  const Json& service = all["io.istio.networking.v1.VirtualService"];
  EXPECT_EQ(service["x-kubernetes-group-version-kind"][0]["kind"], "VirtualService");
  EXPECT_TRUE(service["properties"]["spec"]["properties"].contains("http"));
  EXPECT_TRUE(document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"].contains("patch"));
}

TEST_F(OpenApiTest, Version3ComesByGroupAndVersion) {
  const Json index = get("/openapi/v3")["paths"];
  ASSERT_TRUE(index.contains("api/v1"));
  ASSERT_TRUE(index.contains("apis/networking.istio.io/v1"));
  for (const auto& [path, entry] : index.items()) {
    const Json document = get(entry["serverRelativeURL"].get<std::string>());
    check_references(document, document);
    EXPECT_FALSE(document["components"]["schemas"].empty()) << path;
  }
  EXPECT_EQ(get("/openapi/v3/apis/none/v1")["code"], 404);
}

TEST_F(OpenApiTest, ProtobufIsForThoseWhoAskForIt) {
  ApiRequest request;
  request.path = "/openapi/v2";
  request.accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
  auto response = openapi_.answer(request);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->content_type, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
  EXPECT_TRUE(
      response->body.starts_with("\x0a\x03"
                                 "2.0"));
}

TEST_F(OpenApiTest, AKindThatGoesIsForgotten) {
  EXPECT_TRUE(get("/openapi/v3")["paths"].contains("apis/telemetry.istio.io/v1"));
  types_.remove_custom("telemetries.telemetry.istio.io");
  EXPECT_FALSE(get("/openapi/v3")["paths"].contains("apis/telemetry.istio.io/v1"));
}

}  // namespace
}  // namespace mizzen::local
