#include "local/runtime/catalogue.h"

#include <fmt/core.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "base/strings.h"

namespace mizzen::local {
namespace {

using Words = std::vector<std::string>;

// Words as a shell splits them: quotes and backslashes, no expansion.
Words shell_words(std::string_view line) {
  Words words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    char c = line[i];
    if (quote != 0) {
      if (c == quote)
        quote = 0;
      else
        word.push_back(c);
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == '\\' && i + 1 < line.size()) {
      word.push_back(line[++i]);
      in_word = true;
    } else if (c == ' ' || c == '\t') {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
    } else {
      word.push_back(c);
      in_word = true;
    }
  }
  if (in_word) words.push_back(word);
  return words;
}

std::string quoted(const std::string& word) {
  if (!word.empty() && word.find_first_of(" \t'\"\\#") == std::string::npos) return word;
  std::string out = "'";
  for (char c : word) out += c == '\'' ? std::string("'\"'\"'") : std::string(1, c);
  return out + "'";
}

CatalogueEntry sample(std::string pattern, Words command) {
  command.insert(command.begin(), "mizzen-samples");
  return {std::move(pattern), command, command, {}, {}, "", ""};
}

void add_bookinfo(std::vector<CatalogueEntry>& out) {
  for (const char* version : {"v1", "v2", "v3"}) {
    std::string v = version;
    for (const char* app : {"productpage", "details", "reviews", "ratings"}) {
      out.push_back(
          sample(fmt::format("*examples-bookinfo-{}-{}:*", app, v), {app, "--version", v}));
    }
    out.push_back(
        sample(fmt::format("*examples-helloworld-{}:*", v), {"helloworld", "--version", v}));
  }
  out.push_back(sample("*examples-bookinfo-mysqldb:*", {"mysql", "--seed", "ratings"}));
  out.push_back(sample("*examples-bookinfo-mongodb:*", {"documents", "--seed", "ratings"}));
}

// The sock shop's images, and the stores of its manifests.
void add_sock_shop(std::vector<CatalogueEntry>& out) {
  out.push_back(sample("*weaveworksdemos/front-end:red-buttons", {"front-end", "--version", "v2"}));
  out.push_back(sample("*weaveworksdemos/catalogue-db:*", {"mysql", "--seed", "catalogue"}));
  out.push_back(sample("*weaveworksdemos/user-db:*", {"documents", "--seed", "users"}));
  for (const char* app : {"front-end", "catalogue", "carts", "orders", "payment", "shipping",
                          "user", "queue-master"}) {
    out.push_back(sample(fmt::format("*weaveworksdemos/{}:*", app), {app}));
    out.back().programs = {{"/app", {"mizzen-samples", app}}};
  }
  out.push_back(sample("mongo:*", {"documents"}));
  out.push_back(sample("rabbitmq:*", {"queue"}));
  out.push_back(sample("*kbudde/rabbitmq-exporter:*", {"queue-exporter"}));
}

// kubectl drops what stands before `--`, so `load` alone has to be fortio's too.
void add_load_generator(std::vector<CatalogueEntry>& out) {
  Words fortio = {"mizzen-samples", "fortio"};
  CatalogueEntry entry{"*fortio:*", {"mizzen-samples", "fortio", "server"}, fortio, {}, {}, "", ""};
  entry.programs = {{"fortio", fortio}, {"/usr/bin/fortio", fortio}};
  for (const char* command : {"load", "server", "version"}) {
    Words words = fortio;
    words.push_back(command);
    entry.programs.emplace_back(command, std::move(words));
  }
  out.push_back(std::move(entry));
}

std::vector<CatalogueEntry> builtin_entries_of_mizzen() {
  std::vector<CatalogueEntry> out;
  add_bookinfo(out);
  add_sock_shop(out);
  add_load_generator(out);
  for (const char* pattern : {"*httpbin:*", "*httpbin-gunicorn:*"}) {
    out.push_back(sample(pattern, {"httpbin"}));
  }
  out.push_back(sample("*tcp-echo-server:*", {"tcp-echo"}));
  for (const char* name : {"mizzen/samples", "mizzen-samples"}) {
    out.push_back(
        {fmt::format("{}:*", name), {"mizzen-samples"}, {"mizzen-samples"}, {}, {}, "", ""});
  }
  for (const char* name :
       {"*mizzen/proxyv2:*", "*istio/proxyv2:*", "*release/proxyv2:*", "auto:*"}) {
    out.push_back({name, {"mizzen-proxy"}, {"mizzen-proxy"}, {}, {}, "", ""});
  }
  for (const char* name : {"*mizzen/pilot:*", "*istio/pilot:*"}) {
    out.push_back({name, {"mizzend"}, {"mizzend"}, {}, {}, "", ""});
  }
  for (const char* name : {"*mizzen/curl:*", "*curlimages/curl:*", "*governmentpaas/curl-ssl:*",
                           "*pstauffer/curl:*"}) {
    out.push_back({name, {"sleep", "infinity"}, {"curl"}, {}, {}, "", ""});
  }
  for (const char* name : {"busybox:*", "alpine:*", "debian:*", "ubuntu:*"}) {
    out.push_back({name, {"sh"}, {}, {}, {}, "", ""});
  }
  // The server is in the package of the tools as well, which starts no daemon when installed: the
  // program goes by the name that it is called.
  Words redis = {"bash", "-c",
                 "exec -a redis-server redis-check-rdb --protected-mode no --save '' \"$@\"",
                 "redis-server"};
  out.push_back({"redis:*", redis, redis, {}, {}, "redis-check-rdb", "redis-tools"});
  out.push_back({"*prom/prometheus:*",
                 {"prometheus", "--config.file=/etc/prometheus/prometheus.yml",
                  "--storage.tsdb.path=/prometheus"},
                 {"prometheus"},
                 {},
                 {},
                 "prometheus",
                 "prometheus"});
  out.push_back(
      {"nginx:*", {"nginx", "-g", "daemon off;"}, {"nginx"}, {}, {}, "nginx", "nginx-light"});
  return out;
}

// Programs of Debian packages are at the same places here and in the containers.
bool is_installed(const std::string& program) {
  for (const char* dir : {"/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"}) {
    if (access(fmt::format("{}/{}", dir, program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::string canonical_image(std::string_view image) {
  if (auto digest = image.find('@'); digest != std::string_view::npos)
    image = image.substr(0, digest);
  for (std::string_view prefix :
       {"docker.io/library/", "docker.io/", "index.docker.io/", "library/"}) {
    if (image.starts_with(prefix)) {
      image.remove_prefix(prefix.size());
      break;
    }
  }
  std::string out(image);
  auto slash = out.rfind('/');
  if (out.find(':', slash == std::string::npos ? 0 : slash) == std::string::npos) out += ":latest";
  return out;
}

Catalogue::Catalogue() : builtin_(builtin_entries_of_mizzen()) {}

Status Catalogue::load(const std::string& path) {
  user_.clear();
  std::ifstream file(path);
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (trim(line).empty() || trim(line).starts_with('#')) continue;
    Words words = shell_words(line);
    if (words.size() < 2) {
      return fail(Code::kInvalid,
                  fmt::format("{}:{}: a pattern and a command are needed", path, number));
    }
    std::string pattern = words[0];
    words.erase(words.begin());
    user_.push_back({pattern, words, words, {}, {}, "", ""});
  }
  return {};
}

const CatalogueEntry* Catalogue::find(std::string_view image) const {
  std::string name = canonical_image(image);
  for (const auto* entries : {&user_, &builtin_}) {
    for (const CatalogueEntry& entry : *entries) {
      if (glob_matches(entry.pattern, name) || glob_matches(entry.pattern, image)) return &entry;
      // A pattern without a tag stands for every tag.
      auto slash = entry.pattern.rfind('/');
      bool tagged =
          entry.pattern.find(':', slash == std::string::npos ? 0 : slash) != std::string::npos;
      if (!tagged && glob_matches(entry.pattern + ":*", name)) return &entry;
    }
  }
  return nullptr;
}

Result<Program> Catalogue::resolve(std::string_view image, const Words& command,
                                   const Words& args) const {
  const CatalogueEntry* entry = find(image);
  if (entry == nullptr) {
    return fail(Code::kNotFound,
                fmt::format("no program on this machine stands for image \"{}\"; map it: mizzenctl "
                            "images add '{}' COMMAND [ARG...]",
                            image, canonical_image(image)));
  }
  Program program{{}, entry->env, entry->programs};
  if (!command.empty()) {
    program.argv = program.here(command);
    program.argv.insert(program.argv.end(), args.begin(), args.end());
  } else if (!args.empty()) {
    program.argv = entry->entrypoint;
    program.argv.insert(program.argv.end(), args.begin(), args.end());
  } else {
    program.argv = entry->command;
  }
  if (command.empty() && !entry->needs.empty() && !is_installed(entry->needs)) {
    return fail(Code::kNotFound,
                fmt::format("image \"{}\" needs a program that is not on this machine: apt-get "
                            "install {}",
                            image, entry->package));
  }
  return program;
}

Words Program::here(Words words) const {
  for (const auto& [name, stands_for_it] : programs) {
    if (words.empty() || words.front() != name) continue;
    Words out = stands_for_it;
    out.insert(out.end(), words.begin() + 1, words.end());
    return out;
  }
  return words;
}

namespace {

Result<std::string> without_pattern(const std::string& path, const std::string& pattern,
                                    bool* found) {
  std::ifstream in(path);
  std::string out;
  for (std::string line; std::getline(in, line);) {
    Words words = shell_words(line);
    if (!words.empty() && words[0] == pattern) {
      *found = true;
      continue;
    }
    out += line + "\n";
  }
  return out;
}

Status write_whole(const std::string& path, const std::string& text) {
  std::string next = path + ".new";
  std::ofstream out(next, std::ios::trunc);
  out << text;
  out.close();
  if (!out || std::rename(next.c_str(), path.c_str()) != 0) {
    return fail(Code::kInternal, "cannot write " + path);
  }
  return {};
}

}  // namespace

Status add_to_catalogue(const std::string& path, const std::string& pattern, const Words& command) {
  bool found = false;
  MIZZEN_TRY(std::string text, without_pattern(path, pattern, &found));
  text += quoted(pattern);
  for (const std::string& word : command) text += " " + quoted(word);
  return write_whole(path, text + "\n");
}

Status remove_from_catalogue(const std::string& path, const std::string& pattern) {
  bool found = false;
  MIZZEN_TRY(std::string text, without_pattern(path, pattern, &found));
  if (!found) return fail(Code::kNotFound, "no entry of yours has the pattern " + pattern);
  return write_whole(path, text);
}

}  // namespace mizzen::local
