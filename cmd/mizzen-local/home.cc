#include "home.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace mizzen::local {

namespace {

std::string& profile() {
  static std::string name = "minikube";
  return name;
}

// Without the profile.
Result<std::string> base_dir() {
  std::string dir;
  if (const char* home = std::getenv("MIZZEN_HOME"); home != nullptr && *home != 0) {
    dir = std::filesystem::absolute(home).string();
  } else if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state == '/') {
    dir = std::string(state) + "/mizzen";
  } else if (const char* user = std::getenv("HOME"); user != nullptr && *user == '/') {
    dir = std::string(user) + "/.local/state/mizzen";
  } else {
    return fail(Code::kInvalid,
                "neither MIZZEN_HOME nor HOME says where to keep the cluster's state");
  }
  return dir;
}

}  // namespace

void use_profile(const std::string& name) { profile() = name; }

const std::string& profile_name() { return profile(); }

Result<std::string> names_dir() {
  MIZZEN_TRY(const std::string base, base_dir());
  return base + "/names";
}

Result<std::string> state_dir() {
  MIZZEN_TRY(std::string dir, base_dir());
  if (profile() != "minikube") dir += "/profiles/" + profile();
  std::error_code error;
  bool made = std::filesystem::create_directories(dir, error);
  if (error) return fail(Code::kDenied, fmt::format("create {}: {}", dir, error.message()));
  if (made) std::filesystem::permissions(dir, std::filesystem::perms::owner_all, error);
  std::filesystem::create_directories(dir + "/run", error);
  if (error) return fail(Code::kDenied, fmt::format("create {}/run: {}", dir, error.message()));
  return dir;
}

namespace {

struct flock whole_file(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

Result<io::UniqueFd> take_lock(const std::string& dir) {
  io::UniqueFd fd(open((dir + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return std::unexpected(errno_error("open " + dir + "/lock", errno));
  struct flock lock = whole_file(F_WRLCK);
  if (fcntl(fd.get(), F_SETLK, &lock) != 0) {
    return fail(Code::kExists, "a cluster with its state in " + dir + " is running");
  }
  return fd;
}

pid_t lock_holder(const std::string& dir) {
  io::UniqueFd fd(open((dir + "/lock").c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) return 0;
  struct flock lock = whole_file(F_WRLCK);
  if (fcntl(fd.get(), F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return 0;
  return lock.l_pid;
}

std::string program_dir() {
  std::array<char, 4096> path{};
  ssize_t size = readlink("/proc/self/exe", path.data(), path.size() - 1);
  std::string whole(path.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  return whole.substr(0, whole.rfind('/'));
}

}  // namespace mizzen::local
