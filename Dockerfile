# An image of the toolkit, for planner, scheduler and workers alike: docs/cluster.md.
#   docker build -t fsmd .
# Another base for GPUs or of your own: --build-arg BASE=... with Python 3.11 or later in it.
ARG BASE=python:3.11-slim
FROM ${BASE}

# Workers are refused that have other versions than the planner: all of them are the tested ones.
WORKDIR /opt/fsmd
COPY . .
RUN python3 -m pip install --no-cache-dir -c constraints.txt -e ".[cluster,export,postgres]" bokeh \
    && useradd --uid 1000 --create-home fsmd \
    && mkdir -p /srv/fsmd \
    && chown 1000:1000 /srv/fsmd

# Where the encoded data, checkpoints and reports go; the database lies elsewhere.
USER 1000
WORKDIR /srv/fsmd
ENV FSMD_CACHE=/srv/fsmd/cache
CMD ["fsmd", "--help"]
