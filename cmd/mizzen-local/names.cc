#include "names.h"

#include <fmt/core.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "home.h"
#include "local/runtime/cluster.h"
#include "object/yaml.h"
#include "report.h"

namespace mizzen::local {
namespace {

constexpr const char* kTools[] = {"istioctl", "minikube"};

Json read_yaml(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(in), {});
  auto documents = object::parse_yaml(text);
  if (!documents || documents->empty() || !documents->front().value.is_object())
    return Json::object();
  return std::move(documents->front().value);
}

Status write_private_file(const std::string& path, const std::string& text) {
  const std::string next = path + ".new";
  std::error_code error;
  std::ofstream(next).close();
  std::filesystem::permissions(
      next, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write, error);
  std::ofstream out(next, std::ios::trunc | std::ios::binary);
  out << text;
  out.close();
  if (out) std::filesystem::rename(next, path, error);
  if (!out || error) return fail(Code::kInternal, "cannot write " + path);
  return {};
}

// The entry called `name` of one of a kubeconfig's lists, made when it is missing.
Json& entry_of(Json& list, const std::string& name) {
  if (!list.is_array()) list = Json::array();
  for (Json& one : list) {
    if (one.value("name", "") == name) return one;
  }
  list.push_back({{"name", name}});
  return list.back();
}

// The cluster's own kubeconfig, under the profile's name. A namespace that was set stays.
Json with_context(Json config, const Json& own, const std::string& name) {
  config["apiVersion"] = "v1";
  config["kind"] = "Config";
  config["current-context"] = name;
  const Json& clusters = at_path(own, {"clusters"});
  const Json& users = at_path(own, {"users"});
  if (clusters.empty() || users.empty()) return config;
  entry_of(config["clusters"], name)["cluster"] = clusters[0].value("cluster", Json::object());
  entry_of(config["users"], name)["user"] = users[0].value("user", Json::object());
  Json& context = entry_of(config["contexts"], name)["context"];
  const std::string name_space = text_at(context, {"namespace"});
  context = {{"cluster", name},
             {"user", name},
             {"namespace", name_space.empty() ? "default" : name_space}};
  return config;
}

Status make_links(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const std::string target = program_dir() + "/mizzenctl";
  for (const char* tool : kTools) {
    const std::string link = folder + "/" + tool;
    if (std::filesystem::read_symlink(link, error) == target) continue;
    std::filesystem::remove(link, error);
    std::filesystem::create_symlink(target, link, error);
    if (error) return fail(Code::kInternal, fmt::format("{}: {}", link, error.message()));
  }
  return {};
}

}  // namespace

int print_names_env(const std::string& dir) {
  auto folder = names_dir();
  Status made = folder ? make_links(*folder) : std::unexpected(folder.error());
  if (made && lock_holder(dir) != 0) {
    const std::string path = *folder + "/kubeconfig";
    const Json config =
        with_context(read_yaml(path), read_yaml(dir + "/kubeconfig"), profile_name());
    made = write_private_file(path, object::to_yaml(config));
  }
  if (!made) {
    fmt::print(stderr, "mizzen-local: {}\n", made.error().message);
    return 1;
  }
  fmt::print("export PATH='{}':\"$PATH\"\n", *folder);
  if (lock_holder(dir) != 0) print_env(dir);
  fmt::print("export KUBECONFIG='{}/kubeconfig'\n", *folder);
  return 0;
}

int forget(const std::string& dir) {
  if (lock_holder(dir) != 0) {
    fmt::print(stderr, "mizzen-local: the cluster runs; stop it first\n");
    return 1;
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(dir, error)) {
    const std::string name = entry.path().filename().string();
    if (name != "names" && name != "profiles" && name != "images")
      std::filesystem::remove_all(entry.path(), error);
  }
  if (profile_name() != "minikube") std::filesystem::remove(dir, error);  // when nothing is left
  auto folder = names_dir();
  if (!folder) return 0;
  const std::string path = *folder + "/kubeconfig";
  Json config = read_yaml(path);
  for (const char* list : {"clusters", "users", "contexts"}) {
    if (!config.contains(list)) continue;
    std::erase_if(config[list].get_ref<Json::array_t&>(),
                  [](const Json& one) { return one.value("name", "") == profile_name(); });
  }
  if (config.value("current-context", "") == profile_name()) {
    const Json& contexts = at_path(config, {"contexts"});
    config["current-context"] = contexts.empty() ? "" : contexts[0].value("name", "");
  }
  if (!config.empty()) (void)write_private_file(path, object::to_yaml(config));
  return 0;
}

}  // namespace mizzen::local
