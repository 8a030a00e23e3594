// The cluster under the names of the tools that documents use: a kubeconfig whose context is called
// minikube (or as the profile), and a folder for PATH with istioctl and minikube in it.
#pragma once

#include <string>

namespace mizzen::local {

// Prints shell settings with these names; a cluster need not run yet. Writes the kubeconfig when
// one does.
int print_names_env(const std::string& dir);
// Takes the profile's context out of the kubeconfig and removes the state of its cluster, which
// must not run. The catalogue of images stays.
int forget(const std::string& dir);

}  // namespace mizzen::local
