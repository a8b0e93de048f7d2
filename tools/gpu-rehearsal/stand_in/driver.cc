// The few calls that libtorch makes to the driver: which context is current.
#include "interfaces.h"
#include "log.h"

namespace {

// Contexts are opaque to programs; what matters is that there is one.
CUcontext primary_context() {
  static char place;
  return reinterpret_cast<CUcontext>(&place);
}

}  // namespace

extern "C" {

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  if (ordinal != 0) return CUDA_ERROR_INVALID_DEVICE;
  *device = 0;
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxGetState(CUdevice, unsigned* flags, int* active) {
  *flags = 0;
  *active = 1;
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
  *context = primary_context();
  return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext* context) {
  *context = primary_context();
  return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext) { return CUDA_SUCCESS; }

CUresult cuGetErrorString(CUresult error, const char** text) {
  *text = error == CUDA_SUCCESS ? "no error" : "an error of the stand-in's driver";
  return CUDA_SUCCESS;
}

// How a run time finds its driver. The shared one is not in use here, so that a library with one
// of its own has begun to call: cuDNN or cuSOLVER, which models of camtl do without.
CUresult cuGetProcAddress_v2(const char*, void**, int, cuuint64_t, CUdriverProcAddressQueryResult*) {
  stand_in::end_program("cuGetProcAddress, called by a library with a run time of its own");
}

}  // extern "C"
