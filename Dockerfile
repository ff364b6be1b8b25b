# fusionkit in a container, for the CPU or for NVIDIA's GPUs; docs/cluster.md has the commands.
#
#   docker build -t fusionkit .
#   docker build -t fusionkit:cuda --build-arg DEVICE=cuda .
#
# What a build can be told:
#   DEVICE       cpu or cuda. A wheel of torch for CUDA brings all of CUDA but the driver, which is the machine's.
#   TORCH_INDEX  another index to find torch and torchvision in, beside pip's own
#   EXTRAS       fusionkit's optional parts, such as metrics,upscale,kolors
#   BASE         another image with Python 3.10 or newer, Debian's or like it
ARG BASE=python:3.12-slim

# hadolint ignore=DL3006
FROM ${BASE} AS build
ARG DEVICE=cpu
ARG TORCH_INDEX=
ARG EXTRAS=metrics,upscale
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/fusionkit
ENV PATH=/opt/fusionkit/bin:$PATH
WORKDIR /src
# By far the largest, and it changes least: a layer of its own.
COPY constraints.txt ./
RUN case "${DEVICE}" in \
      cpu) index="${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}" ;; \
      cuda) index="${TORCH_INDEX}" ;; \
      *) echo "DEVICE must be cpu or cuda, not '${DEVICE}'" >&2; exit 2 ;; \
    esac; \
    pip install ${index:+--extra-index-url "${index}"} -c constraints.txt torch torchvision
COPY pyproject.toml README.md LICENSE ./
COPY fusionkit fusionkit
COPY plugins plugins
COPY recipes recipes
RUN pip install -c constraints.txt ".[${EXTRAS}]"

# hadolint ignore=DL3006
FROM ${BASE}
COPY --from=build /opt/fusionkit /opt/fusionkit
# Whoever runs it, as by --user, may write what is kept there.
RUN useradd --uid 1000 --no-create-home --home-dir /home/fusionkit fusionkit \
    && install -d -m 1777 /home/fusionkit /models /work
ENV PATH=/opt/fusionkit/bin:$PATH \
    HOME=/home/fusionkit \
    HF_HOME=/models \
    TORCH_HOME=/models/torch \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000
VOLUME ["/models"]
WORKDIR /work
ENTRYPOINT ["fusionkit"]
CMD ["--help"]
