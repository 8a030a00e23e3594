#include "kube/config.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/strings.h"
#include "object/json.h"
#include "object/yaml.h"

namespace mizzen::kube {
namespace {

using object::Json;

constexpr const char* kAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount/";

Result<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(Code::kNotFound, fmt::format("cannot read {}", path));
  std::ostringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

std::string env(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

// The entry called `name` of one of kubeconfig's lists, under `key`; null when there is none.
const Json* entry(const Json& doc, const char* list, const std::string& name, const char* key) {
  auto found = doc.find(list);
  if (found == doc.end() || !found->is_array()) return nullptr;
  for (const Json& item : *found) {
    if (object::string_at(item, {"name"}) == name) return object::find(item, {key});
  }
  return nullptr;
}

// Inline base64 under `key`-data, or the file that `key` names (relative to the kubeconfig).
Result<std::string> material(const Json& from, const std::string& key, const std::string& folder) {
  std::string data = object::string_at(from, {key + "-data"});
  if (!data.empty()) {
    auto decoded = base64_decode(data);
    if (!decoded) return fail(Code::kInvalid, fmt::format("{}-data is not base64", key));
    return *decoded;
  }
  std::string path = object::string_at(from, {key});
  if (path.empty()) return std::string();
  return read_file(path.starts_with('/') ? path : folder + path);
}

Status take_user(const Json& user, const std::string& folder, Config* out) {
  for (const char* key : {"exec", "auth-provider"}) {
    if (user.contains(key)) {
      return fail(
          Code::kUnsupported,
          fmt::format("users[].user.{} is not supported; use a token or a client certificate",
                      key));
    }
  }
  MIZZEN_TRY(out->client_cert_pem, material(user, "client-certificate", folder));
  MIZZEN_TRY(out->client_key_pem, material(user, "client-key", folder));
  out->token = object::string_at(user, {"token"});
  out->token_file = object::string_at(user, {"tokenFile"});
  out->username = object::string_at(user, {"username"});
  out->password = object::string_at(user, {"password"});
  return {};
}

std::string default_path() {
  std::string list = env("KUBECONFIG");
  for (std::string_view path : split(list, ':')) {
    if (!path.empty() && std::ifstream(std::string(path))) return std::string(path);
  }
  return env("HOME") + "/.kube/config";
}

Result<Config> parse(const Json& doc, const std::string& path, std::string_view context_name) {
  std::string name(context_name);
  if (name.empty()) name = object::string_at(doc, {"current-context"});
  if (name.empty()) return fail(Code::kInvalid, path + ": no current-context; name one");
  const Json* context = entry(doc, "contexts", name, "context");
  if (context == nullptr) {
    return fail(Code::kInvalid, fmt::format("{}: there is no context \"{}\"", path, name));
  }
  std::string cluster_name = object::string_at(*context, {"cluster"});
  const Json* cluster = entry(doc, "clusters", cluster_name, "cluster");
  if (cluster == nullptr) {
    return fail(Code::kInvalid,
                fmt::format("{}: context \"{}\" names cluster \"{}\", which is not there", path,
                            name, cluster_name));
  }
  std::string folder = path.substr(0, path.rfind('/') + 1);
  Config out;
  out.server = object::string_at(*cluster, {"server"});
  out.tls_server_name = object::string_at(*cluster, {"tls-server-name"});
  out.insecure = object::bool_at(*cluster, {"insecure-skip-tls-verify"});
  MIZZEN_TRY(out.ca_pem, material(*cluster, "certificate-authority", folder));
  const Json* user = entry(doc, "users", object::string_at(*context, {"user"}), "user");
  if (user != nullptr) MIZZEN_CHECKED(take_user(*user, folder, &out));
  out.name_space = object::string_at(*context, {"namespace"}, "default");
  return out;
}

}  // namespace

Result<Config> load_kubeconfig(std::string_view path, std::string_view context) {
  std::string file(path.empty() ? default_path() : std::string(path));
  MIZZEN_TRY(std::string text, read_file(file));
  auto docs = object::parse_yaml(text);
  if (!docs) return std::unexpected(docs.error().in(file));
  if (docs->empty()) return fail(Code::kInvalid, file + " is empty");
  return parse(docs->front().value, file, context);
}

Result<Config> load_in_cluster() {
  std::string host = env("KUBERNETES_SERVICE_HOST");
  std::string port = env("KUBERNETES_SERVICE_PORT");
  if (host.empty() || port.empty()) {
    return fail(Code::kNotFound, "KUBERNETES_SERVICE_HOST and _PORT are not set: not in a cluster");
  }
  Config out;
  // An IPv6 literal stands in brackets.
  if (host.find(':') != host.npos) host = "[" + host + "]";
  out.server = fmt::format("https://{}:{}", host, port);
  MIZZEN_TRY(out.ca_pem, read_file(std::string(kAccountDir) + "ca.crt"));
  out.token_file = std::string(kAccountDir) + "token";
  if (auto name_space = read_file(std::string(kAccountDir) + "namespace")) {
    out.name_space = *name_space;
  }
  return out;
}

Result<Config> load_config(std::string_view explicit_path, std::string_view context) {
  if (!explicit_path.empty()) return load_kubeconfig(explicit_path, context);
  bool in_cluster = !env("KUBERNETES_SERVICE_HOST").empty() && env("KUBECONFIG").empty();
  return in_cluster ? load_in_cluster() : load_kubeconfig({}, context);
}

}  // namespace mizzen::kube
