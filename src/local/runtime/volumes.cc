#include "local/runtime/volumes.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "base/strings.h"

namespace mizzen::local {
namespace {

namespace fs = std::filesystem;

bool safe_relative(const std::string& path) {
  if (path.empty() || path[0] == '/') return false;
  for (std::string_view part : split(path, '/')) {
    if (part == "..") return false;
  }
  return true;
}

// Writes `content` as `dir/name` in one step; nothing is touched when it is there already.
Status put_file(const std::string& dir, const std::string& name, const std::string& content,
                unsigned mode) {
  if (!safe_relative(name))
    return fail(Code::kInvalid, fmt::format("path {} leads out of the volume", name));
  fs::path path = fs::path(dir) / name;
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  std::ifstream old(path, std::ios::binary);
  if (old) {
    std::string text((std::istreambuf_iterator<char>(old)), {});
    if (text == content) return {};
  }
  std::string next = path.string() + ".new";
  std::ofstream out(next, std::ios::binary | std::ios::trunc);
  out << content;
  out.close();
  if (!out) return fail(Code::kInternal, "cannot write " + path.string());
  chmod(next.c_str(), mode);
  fs::rename(next, path, error);
  if (error) return fail(Code::kInternal, "cannot write " + path.string());
  return {};
}

struct Content {
  std::string name;
  std::string bytes;
  unsigned mode;
};

unsigned mode_of(const Json& item, unsigned fallback) {
  const Json& mode = at_path(item, {"mode"});
  return mode.is_number_integer() ? mode.get<unsigned>() : fallback;
}

// The files of a ConfigMap or Secret, all or the named items.
Result<std::vector<Content>> data_files(const VolumeContext& context, const Json& source,
                                        bool secret, unsigned mode) {
  std::string name =
      source.value(secret && source.contains("secretName") ? "secretName" : "name", "");
  bool optional = source.value("optional", false);
  Object object =
      context.store->get({secret ? "secrets" : "configmaps", namespace_of(*context.pod), name});
  std::vector<Content> files;
  if (object == nullptr) {
    if (optional) return files;
    return fail(Code::kNotFound,
                fmt::format("{} \"{}\" not found", secret ? "secret" : "configmap", name));
  }
  auto decoded = [&](const Json& value, bool base64) {
    std::string text = value.is_string() ? value.get<std::string>() : "";
    return base64 ? base64_decode(text).value_or("") : text;
  };
  auto find_key = [&](const std::string& key) -> std::optional<std::string> {
    const Json& plain = at_path(*object, {"data", key});
    if (plain.is_string()) return decoded(plain, secret);
    const Json& binary = at_path(*object, {"binaryData", key});
    if (binary.is_string()) return decoded(binary, true);
    return std::nullopt;
  };
  if (source.contains("items") && source["items"].is_array()) {
    for (const Json& item : source["items"]) {
      auto bytes = find_key(item.value("key", ""));
      if (bytes)
        files.push_back({item.value("path", ""), *bytes, mode_of(item, mode)});
      else if (!optional) {
        return fail(Code::kNotFound, fmt::format("{} has no key {}", name, item.value("key", "")));
      }
    }
    return files;
  }
  for (const auto& [key, value] : at_path(*object, {"data"}).items()) {
    files.push_back({key, decoded(value, secret), mode});
  }
  for (const auto& [key, value] : at_path(*object, {"binaryData"}).items()) {
    files.push_back({key, decoded(value, true), mode});
  }
  return files;
}

const Json& container_named(const Json& pod, const std::string& name) {
  static const Json kNone;
  for (const char* list : {"containers", "initContainers"}) {
    for (const Json& container : at_path(pod, {"spec", list})) {
      if (container.value("name", "") == name) return container;
    }
  }
  return kNone;
}

Result<std::vector<Content>> downward_files(const VolumeContext& context, const Json& source,
                                            unsigned mode) {
  std::vector<Content> files;
  for (const Json& item : at_path(source, {"items"})) {
    Result<std::string> value = std::string();
    if (item.contains("fieldRef")) {
      value = field_value(*context.pod, context.place, item["fieldRef"].value("fieldPath", ""));
    } else if (item.contains("resourceFieldRef")) {
      const Json& reference = item["resourceFieldRef"];
      value = resource_value(
          container_named(*context.pod, reference.value("containerName", "")),
          reference.value("resource", ""),
          text_at(reference, {"divisor"}).empty() ? "1" : text_at(reference, {"divisor"}));
    }
    if (!value) return std::unexpected(value.error());
    files.push_back({item.value("path", ""), *value, mode_of(item, mode)});
  }
  return files;
}

Result<std::vector<Content>> projected_files(const VolumeContext& context, const Json& source,
                                             unsigned mode) {
  std::vector<Content> files;
  for (const Json& one : at_path(source, {"sources"})) {
    Result<std::vector<Content>> more = std::vector<Content>();
    if (one.contains("configMap")) {
      more = data_files(context, one["configMap"], false, mode);
    } else if (one.contains("secret")) {
      more = data_files(context, one["secret"], true, mode);
    } else if (one.contains("downwardAPI")) {
      more = downward_files(context, one["downwardAPI"], mode);
    } else if (one.contains("serviceAccountToken")) {
      const Json& token = one["serviceAccountToken"];
      MIZZEN_TRY(std::string text,
                 context.token(token.value("audience", ""),
                               token.value("expirationSeconds", std::int64_t{3600})));
      more->push_back({token.value("path", "token"), text, mode});
    } else {
      return fail(Code::kUnsupported, fmt::format("projected volume source {} is not supported",
                                                  one.empty() ? "" : one.begin().key()));
    }
    if (!more) return std::unexpected(more.error());
    files.insert(files.end(), more->begin(), more->end());
  }
  return files;
}

const char* volume_kind(const Json& volume) {
  for (const char* kind :
       {"emptyDir", "configMap", "secret", "projected", "downwardAPI", "hostPath"}) {
    if (volume.contains(kind)) return kind;
  }
  return nullptr;
}

std::string other_kind(const Json& volume) {
  for (const auto& [key, value] : volume.items()) {
    if (key != "name") return key;
  }
  return "(none)";
}

// Keys that have gone from a ConfigMap or Secret.
void remove_others(const std::string& dir, const std::vector<Content>& files) {
  std::error_code error;
  std::vector<fs::path> gone;
  for (const auto& entry : fs::recursive_directory_iterator(dir, error)) {
    if (entry.is_directory(error)) continue;
    const bool known = std::ranges::any_of(
        files, [&](const Content& file) { return fs::path(dir) / file.name == entry.path(); });
    if (!known) gone.push_back(entry.path());
  }
  for (const fs::path& path : gone) fs::remove(path, error);
}

// A path of the machine, with the rights of whoever runs the cluster; a link to it stands in the
// pod's directory of volumes.
Status link_host_path(const std::string& link, const std::string& volume, const Json& source) {
  const fs::path path = text_at(source, {"path"});
  const std::string type = text_at(source, {"type"});
  std::error_code error;
  if (!path.is_absolute()) {
    return fail(Code::kInvalid, fmt::format("volume {}: hostPath.path must be absolute", volume));
  }
  if (type == "DirectoryOrCreate") fs::create_directories(path, error);
  if (type == "FileOrCreate" && !fs::exists(path, error)) {
    fs::create_directories(path.parent_path(), error);
    std::ofstream create(path, std::ios::app);
  }
  const fs::file_status status = fs::status(path, error);
  const bool directory = type.starts_with("Directory");
  const bool file = type.starts_with("File");
  const bool fits = directory               ? fs::is_directory(status)
                    : file                  ? fs::is_regular_file(status)
                    : type == "Socket"      ? fs::is_socket(status)
                    : type == "CharDevice"  ? fs::is_character_file(status)
                    : type == "BlockDevice" ? fs::is_block_file(status)
                                            : fs::exists(status);
  if (!fits) {
    return fail(Code::kNotFound, fmt::format("volume {}: hostPath {} is not there{}", volume,
                                             path.string(), type.empty() ? "" : " as " + type));
  }
  fs::create_directories(fs::path(link).parent_path(), error);
  if (!fs::is_symlink(link, error)) fs::create_symlink(path, link, error);
  if (error) return fail(Code::kInternal, fmt::format("link {}: {}", link, error.message()));
  return {};
}

Status fill_one(const VolumeContext& context, const Json& volume, bool first) {
  const char* kind = volume_kind(volume);
  std::string name = volume.value("name", "");
  if (kind == nullptr) {
    return fail(
        Code::kUnsupported,
        fmt::format(
            "volume {}: kind {} is not supported by the local cluster (emptyDir, configMap, "
            "secret, projected, downwardAPI and hostPath are)",
            name, other_kind(volume)));
  }
  std::string dir = context.dir + "/" + name;
  const Json& source = volume[kind];
  std::error_code error;
  std::string_view k = kind;
  if (k == "hostPath") return link_host_path(dir, name, source);
  fs::create_directories(dir, error);
  if (k == "emptyDir") {
    if (first) chmod(dir.c_str(), 0777);
    return {};
  }
  unsigned mode = 0644;
  const Json& default_mode = at_path(source, {"defaultMode"});
  if (default_mode.is_number_integer()) mode = default_mode.get<unsigned>();
  Result<std::vector<Content>> files = k == "configMap" ? data_files(context, source, false, mode)
                                       : k == "secret"  ? data_files(context, source, true, mode)
                                       : k == "downwardAPI"
                                           ? downward_files(context, source, mode)
                                           : projected_files(context, source, mode);
  if (!files) return std::unexpected(files.error().in("volume " + name));
  // Without fsGroup Kubernetes leaves modes as written; users of other ids still must be able to
  // read.
  for (const Content& file : *files)
    MIZZEN_CHECKED(put_file(dir, file.name, file.bytes, file.mode));
  remove_others(dir, *files);
  return {};
}

}  // namespace

Status fill_volumes(const VolumeContext& context, bool first) {
  for (const Json& volume : at_path(*context.pod, {"spec", "volumes"})) {
    auto status = fill_one(context, volume, first);
    if (!status && (first || status.error().code != Code::kNotFound)) return status;
  }
  return {};
}

Result<std::vector<Mount>> container_mounts(const VolumeContext& context, const Json& container,
                                            const Environment& environment) {
  std::vector<Mount> mounts;
  for (const Json& mount : at_path(container, {"volumeMounts"})) {
    std::string name = mount.value("name", "");
    std::string source = context.dir + "/" + name;
    std::error_code error;
    if (!fs::exists(source, error)) {
      return fail(Code::kInvalid,
                  fmt::format("volumeMounts: {} is not a volume of this pod", name));
    }
    std::string sub = mount.value("subPath", "");
    if (mount.contains("subPathExpr"))
      sub = expand_variables(text_at(mount, {"subPathExpr"}), environment);
    if (!sub.empty()) {
      if (!safe_relative(sub))
        return fail(Code::kInvalid, "subPath " + sub + " leads out of the volume");
      source += "/" + sub;
      if (!fs::exists(source, error)) {
        fs::create_directories(source, error);
        chmod(source.c_str(), 0777);
      }
    }
    bool read_only = mount.value("readOnly", false);
    for (const Json& volume : at_path(*context.pod, {"spec", "volumes"})) {
      if (volume.value("name", "") != name) continue;
      read_only = read_only || !(volume.contains("emptyDir") || volume.contains("hostPath"));
    }
    std::string target = mount.value("mountPath", "");
    if (target.empty() || target[0] != '/' || target.find("/../") != std::string::npos) {
      return fail(Code::kInvalid, "mountPath " + target + " is not an absolute path");
    }
    mounts.push_back({source, target, read_only});
  }
  return mounts;
}

void add_token_volume(const Store& store, Json& pod) {
  constexpr const char* kMountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
  std::string account = text_at(pod, {"spec", "serviceAccountName"});
  if (account.empty()) account = "default";
  const Json* wanted = &at_path(pod, {"spec", "automountServiceAccountToken"});
  Object owner = store.get({"serviceaccounts", namespace_of(pod), account});
  if (!wanted->is_boolean() && owner != nullptr)
    wanted = &at_path(*owner, {"automountServiceAccountToken"});
  if (*wanted == Json(false)) return;
  Json& spec = pod["spec"];
  bool mounted = false;
  for (const char* list : {"initContainers", "containers"}) {
    if (!spec.contains(list)) continue;
    for (Json& container : spec[list]) {
      Json& mounts = container["volumeMounts"];
      if (!mounts.is_array()) mounts = Json::array();
      bool there = false;
      for (const Json& mount : mounts) there = there || mount.value("mountPath", "") == kMountPath;
      if (there) continue;
      mounts.push_back(
          {{"name", "kube-api-access"}, {"mountPath", kMountPath}, {"readOnly", true}});
      mounted = true;
    }
  }
  if (!mounted) return;
  Json& volumes = spec["volumes"];
  if (!volumes.is_array()) volumes = Json::array();
  volumes.push_back(Json::parse(R"({"name": "kube-api-access", "projected": {"sources": [
    {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    {"downwardAPI": {"items": [
      {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}
  ]}})"));
}

void remove_volumes(const std::string& dir) {
  std::error_code error;
  fs::remove_all(dir, error);
}

}  // namespace mizzen::local
